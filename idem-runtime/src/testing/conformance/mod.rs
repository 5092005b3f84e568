//! The suite that makes a type a storage: every bullet of the contract in [`storage`](crate::storage) is a case here.
//!
//! One entry point, [`run`], takes a factory of [`Harness`]es and runs all cases, each with a harness and keys of its own: many at
//! once, so that their waiting overlaps, but for the few that purge, which come last and one after the other. No backend picks its cases. What a backend has not, such as a life beyond its process, or cannot come to, such as damaged
//! bytes in a process's own memory, its harness says of [`Opened`] and [`Harm`], and the [`Report`] shows it. A failure names the bullet,
//! the difference, and the calls before it with their keys and answers.
//!
//! [`histories`] compares a storage with the transition table itself, over random histories: what nobody thought of as a case.
//!
//! # On a storage with a clock of its own making
//!
//! ```
//! # use idem_runtime as idempotency;
//! use std::time::Duration;
//!
//! use idempotency::clock::Clock;
//! use idempotency::record::Timestamp;
//! use idempotency::storage::MemoryStorage;
//! use idempotency::testing::ManualClock;
//! use idempotency::testing::conformance::{self, Harm, Harness, Inflicted, Opened};
//!
//! struct OnMemory(ManualClock, MemoryStorage);
//!
//! impl Harness for OnMemory {
//!     type Storage = MemoryStorage;
//!     fn storage(&self) -> &MemoryStorage { &self.1 }
//!     async fn now(&self) -> Timestamp { self.0.now() }
//!     async fn elapse(&self, duration: Duration) { self.0.advance(duration) }
//!     fn clock_is_exact(&self) -> bool { true }
//!     async fn second(&self) -> Opened<MemoryStorage> { Opened::Done(self.1.clone()) }
//!     async fn reopen(self) -> Opened<Self> { Opened::Unsupported("it ends with its process") }
//!     async fn inflict(&self, _: Harm<'_>) -> Inflicted { Inflicted::Unsupported("records are values of this process") }
//! }
//!
//! # tokio::runtime::Builder::new_multi_thread().enable_time().build()?.block_on(async {
//! let report = conformance::run(async || {
//!     let clock = ManualClock::new();
//!     OnMemory(clock.clone(), MemoryStorage::with_clock(clock))
//! });
//! report.await.assert_passed();
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```
//!
//! # In a file
//!
//! A storage in a file runs on a clock of this process, so give it a [`ManualClock`](crate::testing::ManualClock) in the tests: then every
//! deadline is tried to the millisecond. `reopen` opens a copy of the file as it is at that moment, since a file that is closed in good order
//! may be tidied up on the way; where the store takes its file from a trait, a file of the test's that forgets what was not flushed is
//! better still. `docs/writing-a-storage.md` of the repository has such a storage, and its harness, whole.
//!
//! # On a server
//!
//! The harness holds a storage (its own, or a clone of one that all share: keys never meet) and
//!
//! - `now` asks the server for its time (`TIME`, `clock_timestamp()`),
//! - `elapse` sleeps, and `clock_is_exact` says no,
//! - `second` and `reopen` connect once more,
//! - `inflict` writes the damaged bytes with a plain client, past the storage, keeping the key's retention; and lets a proxy between
//!   storage and server swallow the next request or the next reply. Give such a proxy to each harness of its own, since another case's
//!   request must not be the one that is swallowed; opening it on the first `inflict` is too late for a storage that is connected, so
//!   connect every harness through its own proxy, or have the factory do it.
//!
//! Nothing else may use the database meanwhile: the suite counts what purges remove. Run it on a runtime with several threads; leases here
//! are as short as 250 ms, and a test machine that stalls longer than 500 ms can fail a case.

mod cases;
mod check;
mod harness;
pub mod histories;
mod report;
mod stage;
mod suite;
mod trail;

pub use harness::{Harm, Harness, Inflicted, Opened};
pub use report::{CaseReport, Outcome, Report};
pub use suite::run;
