//! The program as a user runs it, and clients that nobody here wrote.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in the functions that tests share as well"
)]

mod load;
mod restarts;
mod schemathesis;
mod service;
mod session;
mod stripe;
