//! Compares a storage with the transition table: the same random history must give the same answers
//! and leave the same record.
//!
//! Cases cover foreseen situations; histories find the others. Each seed is one history of one key,
//! run step by step on the storage and through [`step`](crate::storage::transition::step). The
//! first history that diverges is shortened and reported.
//!
//! ```
//! # use idem_runtime as idempotency;
//! use std::time::Duration;
//!
//! # use idem_runtime::clock::Clock;
//! # use idem_runtime::record::Timestamp;
//! # use idem_runtime::storage::MemoryStorage;
//! # use idem_runtime::testing::ManualClock;
//! # use idem_runtime::testing::conformance::{Harm, Harness, Inflicted, Opened};
//! use idempotency::testing::conformance::histories::{self, ByClock};
//! # struct OnMemory(ManualClock, MemoryStorage);
//! # impl Harness for OnMemory {
//! #     type Storage = MemoryStorage;
//! #     fn storage(&self) -> &MemoryStorage { &self.1 }
//! #     async fn now(&self) -> Timestamp { self.0.now() }
//! #     async fn elapse(&self, duration: Duration) { self.0.advance(duration) }
//! #     fn clock_is_exact(&self) -> bool { true }
//! #     async fn second(&self) -> Opened<MemoryStorage> { Opened::Done(self.1.clone()) }
//! #     async fn reopen(self) -> Opened<Self> { Opened::Unsupported("it ends with its process") }
//! #     async fn inflict(&self, _: Harm<'_>) -> Inflicted { Inflicted::Unsupported("values") }
//! # }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let clock = ManualClock::new();
//! let harness = OnMemory(clock.clone(), MemoryStorage::with_clock(clock));
//! // Any harness whose clock is exact; on a server implement `Bench`.
//! histories::compare(&ByClock(harness), 0..200).await?;
//! # Ok::<(), histories::Divergence>(())
//! # }).map_err(|divergence| divergence.to_string()).map_err(std::io::Error::other)?;
//! # Ok::<(), std::io::Error>(())
//! ```

mod attempt;
mod bench;
mod known;
mod model;
mod render;
mod shorten;
#[cfg(test)]
mod tests;

use std::fmt;

use self::attempt::run_in_time;
pub use self::bench::{Bench, ByClock};

/// A history on which the storage and the table diverge.
#[derive(Clone, Debug)]
pub struct Divergence {
    seed: u64,
    steps: usize,
    story: String,
}

impl Divergence {
    /// The seed that reproduces it.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// Number of steps of the shortened history.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

impl fmt::Display for Divergence {
    /// The history: each step with its answer and the record after it, and at the end the table's
    /// answer and record.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "history {} diverges:\n{}", self.seed, self.story)
    }
}

impl std::error::Error for Divergence {}

/// Compares the history of each seed.
///
/// # Errors
///
/// The first history that diverges, shortened.
pub async fn compare<B: Bench>(
    bench: &B,
    seeds: impl IntoIterator<Item = u64>,
) -> Result<(), Divergence> {
    for seed in seeds {
        let steps = model::history(seed, bench.is_exact());
        if let Err(story) = run_in_time(bench, &steps).await {
            let (steps, story) = shorten::shorten(bench, steps, story).await;
            return Err(Divergence { seed, steps: steps.len(), story });
        }
    }
    Ok(())
}
