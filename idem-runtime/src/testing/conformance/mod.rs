//! The suite that makes a type a storage: every bullet of the contract in [`storage`](crate::storage) is a case here.
//!
//! One entry point, [`run`], takes a factory of [`Harness`]es and runs all cases at once, each with a harness and keys of its own, so
//! that their waiting overlaps: a server is done in about the time of the longest case. No backend picks its cases. What a backend
//! cannot come to, such as damaged bytes in a process's own memory, its harness says of that [`Harm`], and the [`Report`] shows it.
//!
//! # On a storage with a clock of its own making
//!
//! ```
//! use std::time::Duration;
//!
//! use idem_runtime::clock::Clock;
//! use idem_runtime::record::Timestamp;
//! use idem_runtime::storage::MemoryStorage;
//! use idem_runtime::testing::ManualClock;
//! use idem_runtime::testing::conformance::{self, Harm, Harness, Inflicted};
//!
//! struct OnMemory(ManualClock, MemoryStorage);
//!
//! impl Harness for OnMemory {
//!     type Storage = MemoryStorage;
//!     fn storage(&self) -> &MemoryStorage { &self.1 }
//!     async fn now(&self) -> Timestamp { self.0.now() }
//!     async fn elapse(&self, duration: Duration) { self.0.advance(duration) }
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
//! # On a server
//!
//! The harness holds a storage (its own, or a clone of one that all share: keys never meet) and
//!
//! - `now` asks the server for its time (`TIME`, `clock_timestamp()`),
//! - `elapse` sleeps,
//! - `inflict` writes the damaged bytes with a plain client, past the storage, keeping the key's retention; and lets a proxy between
//!   storage and server swallow the next request or the next reply. Give such a proxy to each harness of its own, since another case's
//!   request must not be the one that is swallowed; opening it on the first `inflict` is too late for a storage that is connected, so
//!   connect every harness through its own proxy, or have the factory do it.
//!
//! Run it on a runtime with several threads; leases here are as short as 250 ms, and a test machine that stalls longer than 500 ms can
//! fail a case.

mod cases;
mod check;
mod harness;
mod report;
mod stage;
mod suite;

pub use harness::{Harm, Harness, Inflicted};
pub use report::{CaseReport, Outcome, Report};
pub use suite::run;
