//! A storage beside the transition table: the same random history gives the same answers, and leaves the same record.
//!
//! Cases are what somebody thought of; histories find what nobody did. Each seed is one history of one key, asked of the storage step by step
//! and of [`step`](crate::storage::transition::step) as well. The first one that is told differently is made as short as it goes, and told.
//!
//! ```
//! use std::time::Duration;
//!
//! # use idem_runtime::clock::Clock;
//! # use idem_runtime::record::Timestamp;
//! # use idem_runtime::storage::MemoryStorage;
//! # use idem_runtime::testing::ManualClock;
//! # use idem_runtime::testing::conformance::{Harm, Harness, Inflicted, Opened};
//! use idem_runtime::testing::conformance::histories::{self, ByClock};
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

mod known;
mod model;
mod shorten;
mod tell;
#[cfg(test)]
mod tests;

use std::fmt::{self, Write};
use std::time::Duration;

use self::model::{Model, Step, Verb};
use self::tell::{Told, told_error, told_written};
use super::harness::Harness;
use crate::key::RecordKey;
use crate::record::{OwnerId, Timestamp};
use crate::storage::Storage;

/// A storage, and a way to let time pass for a record without waiting for it.
///
/// On a server that is done past the storage: the record's deadlines are moved back, `UPDATE … SET lease_until = lease_until - $1`, or the
/// time that its key has left is made shorter.
pub trait Bench: Send + Sync {
    /// The storage under test.
    type Storage: Storage;

    /// The storage under test.
    fn storage(&self) -> &Self::Storage;

    /// Now, by the storage's clock.
    fn now(&self) -> impl Future<Output = Timestamp> + Send;

    /// Lets time pass for this record, if it is there; it may pass for others too. What never expires does not expire by it.
    fn pass(&self, key: &RecordKey, time: Duration) -> impl Future<Output = ()> + Send;

    /// Whether no time passes but by [`pass`](Self::pass). Then histories are compared to the millisecond, and meet deadlines exactly;
    /// otherwise to five seconds, in which a history has to be through. One that took longer and is told differently is asked again, some
    /// times, before that counts.
    fn is_exact(&self) -> bool;
}

/// A harness whose clock is exact.
#[derive(Debug)]
pub struct ByClock<H>(pub H);

impl<H: Harness> Bench for ByClock<H> {
    type Storage = H::Storage;

    fn storage(&self) -> &H::Storage {
        self.0.storage()
    }

    fn now(&self) -> impl Future<Output = Timestamp> + Send {
        self.0.now()
    }

    async fn pass(&self, _key: &RecordKey, time: Duration) {
        self.0.elapse(time).await;
    }

    fn is_exact(&self) -> bool {
        self.0.clock_is_exact()
    }
}

/// A history that the storage and the table tell differently.
#[derive(Clone, Debug)]
pub struct Divergence {
    seed: u64,
    steps: usize,
    story: String,
}

impl Divergence {
    /// The seed that gives it again.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// How many steps it has after it was made as short as it goes.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

impl fmt::Display for Divergence {
    /// The story: each step with its answer and what is there then, and at the end what the table says instead.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "history {} is told differently:\n{}", self.seed, self.story)
    }
}

impl std::error::Error for Divergence {}

/// Compares the history of each seed.
///
/// # Errors
///
/// The first that the storage tells differently, as short as it goes.
pub async fn compare<B: Bench>(
    bench: &B,
    seeds: impl IntoIterator<Item = u64>,
) -> Result<(), Divergence> {
    for seed in seeds {
        let steps = model::history(seed, bench.is_exact());
        if let Err(story) = tell_in_time(bench, &steps).await {
            let (steps, story) = shorten::shorten(bench, steps, story).await;
            return Err(Divergence { seed, steps: steps.len(), story });
        }
    }
    Ok(())
}

/// What a server's shortest retention may last longer than none: a step that asks for none is followed by so much.
const GRAIN: Duration = Duration::from_millis(5);

/// So much less than five seconds that what the last answers waited for has room.
const IN_TIME: Duration = Duration::from_secs(4);
/// How often a history is asked that was told differently and was not through in time.
const ATTEMPTS: u32 = 6;

/// Goes through a history. Where the storage was so slow that it may be why an inexact one is told differently, nothing is shown: it is
/// asked again. If it never gets through in time, its story says so.
async fn tell_in_time<B: Bench>(bench: &B, steps: &[Step]) -> Result<(), String> {
    let mut attempt = 1;
    loop {
        let begun = bench.now().await;
        let Err(mut story) = tell(bench, steps).await else { return Ok(()) };
        let took = bench.now().await.left_at(begun);
        if bench.is_exact() || took < IN_TIME {
            return Err(story);
        }
        if attempt == ATTEMPTS {
            let _ = write!(
                story,
                "\n    (each of {ATTEMPTS} times it took longer than {IN_TIME:?}, the last time {took:?}: the storage may be right, and \
                 too slow to be compared)"
            );
            return Err(story);
        }
        attempt += 1;
    }
}

/// Goes through a history with a key of its own; the story where it is told differently.
async fn tell<B: Bench>(bench: &B, steps: &[Step]) -> Result<(), String> {
    let key = RecordKey::from_stored(format!("histories:{}", OwnerId::random()));
    let told = Told { exact: bench.is_exact() };
    let start = if told.exact { bench.now().await } else { Model::START };
    let mut model = Model::new(start);
    let mut story = String::new();
    for step in steps {
        let verb = step.verb(&key);
        let expected = model.answer(&verb, told);
        let answer = ask(bench, verb, told).await;
        let there = match bench.storage().load(&key).await {
            Ok(record) => told.record(record.as_ref(), bench.now().await),
            Err(error) => told_error(&error),
        };
        let must_be = model.there(told);
        let _ = writeln!(story, "  {step:?}: {answer}\n    then there is {there}");
        if answer != expected || there != must_be {
            let _ = write!(
                story,
                "    but the table answers: {expected}\n    and then there is {must_be}\n    of {key:?}"
            );
            return Err(story);
        }
    }
    Ok(())
}

/// Asks the storage.
async fn ask<B: Bench>(bench: &B, verb: Verb, told: Told) -> String {
    let storage = bench.storage();
    match verb {
        Verb::Claim(claim) => told.claimed(storage.claim(&claim).await),
        Verb::Renew(renew) => match storage.renew(&[renew]).await.pop() {
            Some(answer) => told_written(answer),
            None => "nothing".to_owned(),
        },
        Verb::Complete(complete) => {
            let written = storage.complete(&complete).await;
            if !told.exact && complete.ttl.is_zero() {
                tokio::time::sleep(GRAIN).await;
            }
            told_written(written)
        }
        Verb::Release(release) => {
            let written = storage.release(&release).await;
            if !told.exact {
                // The claim's ttl may have been none.
                tokio::time::sleep(GRAIN).await;
            }
            told_written(written)
        }
        Verb::Purge => match storage.purge(1_000).await {
            Ok(_) => String::new(),
            Err(error) => told_error(&error),
        },
        Verb::Pass(key, time) => {
            bench.pass(&key, time).await;
            String::new()
        }
    }
}
