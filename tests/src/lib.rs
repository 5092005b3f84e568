//! Integration tests of `idempotency`; the tests themselves are in `it/` and `ui/`.
//!
//! Here is what the tests and their worker processes have in common.

mod job;
mod runs;
pub mod strict;

/// A facade that another crate hands on.
pub use idempotency;
pub use job::{Body, Ended, Job, Report};
pub use runs::{Runs, assert_once, on_memory};
