//! Integration tests of `idempotency`: everything that runs on a storage, on memory and on real Redis.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in the functions that tests share as well"
)]

#[macro_use]
mod stage;

mod conformance;
mod differential;
mod docs;
mod engine;
mod faults;
mod guarantees;
mod histories;
mod layers;
mod outbox;
mod redis;
mod seen;
mod settings;
mod sql;
mod transaction;
mod worker;
