//! Integration tests of `idempotency`; the tests themselves are in `it/`.
//!
//! Here is what the tests and their worker processes have in common.

mod consuming;
mod job;
mod relaying;
mod transferring;

pub use consuming::{Consumed, Consuming, Point};
pub use job::{Body, Ended, Job, Report};
pub use relaying::Relaying;
pub use transferring::{Step, Transfer, Transferred, Transferring};

/// How many random things a test tries: few, or with `IDEM_LONG` as many as there is time for.
pub fn extent(few: u32, many: u32) -> u32 {
    if std::env::var_os("IDEM_LONG").is_some() { many } else { few }
}
