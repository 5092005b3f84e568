//! What a worker process is told, and what its keys are like.

use std::path::PathBuf;
use std::time::Duration;

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::flaw::Flaw;

/// What a worker process is told: JSON, its only argument.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Load {
    /// The storage.
    pub url: String,
    /// The handle's namespace.
    pub namespace: String,
    /// A folder of its own, with its ledger and its diary.
    pub dir: PathBuf,
    /// Which of the round's processes it is: no two have the same number.
    pub number: u32,
    /// What the round's keys are like.
    pub seed: u64,
    /// When the round began, in nanoseconds of the machine's monotonic clock.
    pub begun: u64,
    /// Calls under way at once.
    pub callers: u32,
    /// The operation's lease.
    pub lease: Duration,
    /// The mistake that it makes, to be found.
    pub flaw: Option<Flaw>,
}

/// The operation that all calls are of.
pub const OPERATION: &str = "charge";

/// Longer than a round.
pub const TTL: Duration = Duration::from_secs(3600);

/// A new key comes up this often. The time is the same for all processes, so they meet at the same keys without talking to each other.
const KEY_EVERY: Duration = Duration::from_millis(40);

/// How many of the last keys are called at a time.
const CURRENT: u64 = 12;

/// What all calls of a key have in common.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Its name.
    pub key: String,
    /// Whether a crash parks it.
    pub parks: bool,
    /// How long its body takes.
    pub takes: Duration,
    /// How long its result is, in characters.
    pub length: usize,
    /// Whether every other execution fails and releases the key.
    pub releases: bool,
    /// Whether its body holds a connection of the pool that the application shares with the storage.
    pub holds: bool,
}

impl Plan {
    /// The key with this number.
    pub fn of(seed: u64, number: u64, lease: Duration) -> Self {
        let mut rng = Rng::with_seed(seed ^ number.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let takes = match rng.u8(..100) {
            0..55 => Duration::from_millis(rng.u64(..30)),
            55..85 => Duration::from_millis(rng.u64(30..250)),
            // So long that heartbeats have to keep its lease.
            _ => lease.mul_f64(1.2 + rng.f64()),
        };
        Self {
            key: format!("k{number}"),
            parks: rng.u8(..4) == 0,
            takes,
            length: if rng.u8(..20) == 0 { rng.usize(500..3000) } else { rng.usize(..60) },
            releases: rng.u8(..5) == 0,
            holds: rng.u8(..3) == 0,
        }
    }

    /// The key with this name.
    pub fn named(seed: u64, key: &str, lease: Duration) -> Self {
        let number = key.trim_start_matches('k').parse().expect("a key is named by its number");
        Self::of(seed, number, lease)
    }

    /// The key that one more call is of: a current one, or one that was finished long ago.
    pub fn draw(rng: &mut Rng, load: &Load, now: u64) -> Self {
        let passed = Duration::from_nanos(now.saturating_sub(load.begun));
        let newest = u64::try_from(passed.as_nanos() / KEY_EVERY.as_nanos()).unwrap_or(u64::MAX);
        let number = match rng.u8(..8) {
            0 => rng.u64(..=newest),
            _ => newest.saturating_sub(rng.u64(..CURRENT)),
        };
        Self::of(load.seed, number, load.lease)
    }

    /// Whether the execution of this call fails.
    pub fn fails(&self, call: u64) -> bool {
        self.releases && Rng::with_seed(!call).bool()
    }

    /// A result that no other execution has: whose it is, and what follows from that.
    pub fn value(&self, call: u64) -> String {
        let filling = Rng::with_seed(call).u8(b'a'..=b'z');
        format!("{call}-{}", char::from(filling).to_string().repeat(self.length))
    }
}
