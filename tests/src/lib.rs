//! Integration tests of `idempotency`; the tests themselves are in `it/`.
//!
//! Here is what the tests and their worker processes have in common.

mod consuming;
mod job;
mod relaying;

pub use consuming::{Consumed, Consuming, Point};
pub use job::{Body, Ended, Job, Report};
pub use relaying::Relaying;
