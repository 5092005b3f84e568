//! Whether what concurrent callers of a storage were told can be put in one order that the contract allows.
//!
//! A [`History`] holds what was asked about one key, when, and what came back. [`check()`] looks for an order in which every operation takes
//! effect at one moment between its beginning and its end, and in which each answer is what the contract gives for what is there at that
//! moment (linearizability: Herlihy and Wing 1990; the search is that of Wing and Gong 1993, with Lowe's cache of states seen before). An
//! operation whose answer never came may take effect at any moment after its beginning, or not at all.
//!
//! The contract is written down a second time here, in [`contract`], without a clock: what is known of a lease is between which moments it
//! ends.

pub mod check;
pub mod contract;
pub mod history;
pub mod record;

pub use self::check::{Violation, check};
pub use self::history::{Answer, End, History, Operation, Request, There};
pub use self::record::record;
