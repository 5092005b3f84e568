//! For those who test or write a storage (feature `testing`).
//!
//! - [`conformance`]: the suite that every backend, every wrapper and every third party runs whole.
//! - [`faulty`]: a storage that fails when it is told to.
//! - [`ManualClock`]: time that stands still until it is told otherwise, for the memory storage.

pub mod conformance;
pub mod faulty;

pub use faulty::{Fault, Faults, FaultyStorage, Verb};

pub use crate::clock::ManualClock;
