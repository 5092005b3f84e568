//! Storages that differ from the table only by being slow.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use super::{Bench, compare};
use crate::clock::Clock;
use crate::key::RecordKey;
use crate::record::Timestamp;
use crate::storage::MemoryStorage;
use crate::testing::ManualClock;

/// A storage on a stalling server: each of the first `stalls` readings of its clock advances it by
/// another second.
struct Stalling {
    clock: ManualClock,
    storage: MemoryStorage,
    stalls: AtomicU32,
}

impl Stalling {
    fn new(stalls: u32) -> Self {
        let clock = ManualClock::new();
        let storage = MemoryStorage::with_clock(clock.clone());
        Self { clock, storage, stalls: stalls.into() }
    }
}

impl Bench for Stalling {
    type Storage = MemoryStorage;

    fn storage(&self) -> &MemoryStorage {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        let fewer = |left: u32| left.checked_sub(1);
        if self.stalls.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fewer).is_ok() {
            self.clock.advance(Duration::from_secs(1));
        }
        self.clock.now()
    }

    async fn pass(&self, _: &RecordKey, time: Duration) {
        self.clock.advance(time);
    }

    fn is_exact(&self) -> bool {
        false
    }
}

#[tokio::test]
async fn history_that_a_stall_made_too_long_is_asked_again() {
    let mut told = 0;
    for seed in 0..40 {
        let bench = Stalling::new(20);
        let compared = compare(&bench, [seed]).await;
        compared.unwrap_or_else(|divergence| panic!("{divergence}"));
        told += u32::from(bench.stalls.load(Ordering::Relaxed) == 0);
    }
    assert!(told > 10, "only {told} histories were long enough to be stalled");
}

#[tokio::test]
async fn storage_that_is_always_too_slow_is_said_to_be() {
    let divergence = compare(&Stalling::new(u32::MAX), 0..40).await;
    let divergence = divergence.expect_err("a second for each step is too slow");
    assert!(divergence.to_string().contains("too slow to be compared"), "{divergence}");
}
