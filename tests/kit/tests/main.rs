//! Tests of the testkit, on real servers and processes.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod cluster;
mod ledger;
mod nats;
mod process;
mod proxy;
mod redis;
mod sentinel;
mod sql;
