//! The published suite, and the transition table, on the storage: in a file that is copied while it is open, and on a disk whose power fails.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails, in the functions that tests share as well"
)]

mod disk;
mod file;
mod harness;
mod histories;
mod killed;
