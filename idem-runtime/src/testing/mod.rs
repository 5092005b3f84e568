//! Tools for testing storages and applications (feature `testing`).
//!
//! - [`conformance`]: the suite that every backend, wrapper and third-party storage has to pass.
//! - [`faulty`]: a storage that fails on demand.
//! - `InTransactions` (with an SQL feature): a storage that runs its verbs in transactions, as
//!   calls in transactions do.
//! - [`ManualClock`]: a clock that moves only when the test advances it, for the memory storage.

#[cfg(not(idem_shuttle))]
pub mod conformance;
pub mod faulty;
#[cfg(feature = "_sql")]
mod in_transactions;

pub use faulty::{Fault, Faults, FaultyStorage, Verb};
#[cfg(feature = "_sql")]
pub use in_transactions::InTransactions;

pub use crate::clock::ManualClock;
