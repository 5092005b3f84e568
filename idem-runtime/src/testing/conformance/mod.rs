//! The conformance suite for storages: every bullet of the contract in [`storage`](crate::storage)
//! has a case here.
//!
//! One entry point, [`run`], takes a factory of [`Harness`]es and runs all cases, each with a
//! harness and keys of its own. Cases run concurrently, so that their waiting overlaps; the few
//! that purge run last, one by one. No backend picks its cases. Where a backend lacks a capability,
//! such as durability, or is immune to a [`Harm`], such as damaged bytes in a process's own memory,
//! its harness answers `Unsupported` with the reason, and the [`Report`] shows it. A failure names
//! the bullet, the difference, and the preceding calls with their keys and answers.
//!
//! [`histories`] compares a storage with the transition table over random histories, and so finds
//! what no case covers.
//!
//! # A storage in this process
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
//!     async fn reopen(self) -> Opened<Self> { Opened::Unsupported("its data ends with the process") }
//!     async fn inflict(&self, _: Harm<'_>) -> Inflicted { Inflicted::Unsupported("records live in memory") }
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
//! # A storage in a file
//!
//! A storage in a file runs on a clock of this process, so give it a
//! [`ManualClock`](crate::testing::ManualClock) in the tests: then every deadline is tested to the
//! millisecond. `reopen` opens a copy of the file as it is at that moment, since a clean close may
//! repair or flush the file. Where the store takes its file through a trait, a test file that drops
//! unflushed writes is better still. `docs/writing-a-storage.md` of the repository has a complete
//! example with its harness.
//!
//! # A storage on a server
//!
//! The harness holds a storage (its own, or a clone of a shared one: cases never share keys). Its
//! methods:
//!
//! - `now` asks the server for its time (`TIME`, `clock_timestamp()`),
//! - `elapse` sleeps, and `clock_is_exact` is false,
//! - `second` and `reopen` open new connections,
//! - `inflict` writes damaged bytes with a plain client, bypassing the storage and keeping the
//!   key's retention; for lost requests and replies it has a proxy between storage and server drop
//!   the next one. Connect every harness through a proxy of its own from the start: a shared proxy
//!   could drop another case's request, and a connected storage does not move to a proxy that opens
//!   later.
//!
//! Nothing else may use the database during the run, since the suite counts purged records. Use a
//! multi-threaded runtime. Leases are as short as 250 ms, so a stall of more than 500 ms can fail a
//! case.

mod cases;
mod check;
mod harness;
pub mod histories;
mod report;
mod stage;
mod suite;
mod trail;

pub use harness::{Harm, Harness, Inflicted, Opened};
pub use report::{CaseOutcome, CaseReport, Report};
pub use suite::run;
