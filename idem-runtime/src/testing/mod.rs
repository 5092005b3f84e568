//! For those who test or write a storage (feature `testing`).
//!
//! - [`conformance`]: the suite that every backend, every wrapper and every third party runs whole.
//! - [`faulty`]: a storage that fails when it is told to.
//! - `InTransactions` (with an SQL feature): a storage whose verbs are made in transactions, as those of calls in transactions are.
//! - [`ManualClock`]: time that stands still until it is told otherwise, for the memory storage.

#[cfg(not(idem_shuttle))]
pub mod conformance;
pub mod faulty;
#[cfg(feature = "_sql")]
mod in_transactions;

pub use faulty::{Fault, Faults, FaultyStorage, Verb};
#[cfg(feature = "_sql")]
pub use in_transactions::InTransactions;

pub use crate::clock::ManualClock;
