//! Real servers, a fault proxy and an execution ledger.
//!
//! What the tests of the workspace share, and independent of the crates under test, so that a bug there cannot hide here:
//!
//! | module | gives |
//! |---|---|
//! | [`redis`] | `redis-server` or `valkey-server`, standalone, under Sentinel, as a Cluster |
//! | [`nats`] | `nats-server` with `JetStream` |
//! | [`sql`] | `postgres`, `pgbouncer`, and `mariadbd` or `mysqld` |
//! | [`proxy`] | a TCP proxy that cuts, refuses, delays and loses what passes it |
//! | [`ledger`] | a file that each execution appends to, readable from every process |
//! | [`process`] | child processes that can be killed, stopped, continued, and that never outlive the tests |
//! | [`tls`] | certificates for the length of a test |
//! | [`wait`] | waiting for a condition instead of sleeping |
//!
//! # Panics
//!
//! A test without its server must fail, and there is nobody to hand an error to. So everything here panics with a message that says what is
//! missing, instead of returning a `Result` that each test would unwrap.
#![allow(
    clippy::panic,
    clippy::expect_used,
    clippy::missing_panics_doc,
    reason = "the panics are the interface: see above"
)]

pub mod clients;
pub mod ledger;
pub mod nats;
pub mod pages;
pub mod process;
mod program;
pub mod proxy;
pub mod redis;
mod reservation;
pub mod sql;
pub mod tls;
pub mod wait;
