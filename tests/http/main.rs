//! Tests of `idempotency::http`: real servers, real clients, real sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a panic is how a test fails, in the functions that tests share as well"
)]

#[macro_use]
mod stage;

mod annotated;
mod annotated_handlers;
mod bodies;
mod client;
mod conformance;
mod counters;
mod decisions;
mod disconnects;
mod expiry;
mod fingerprints;
mod handlers;
mod outages;
mod plain_services;
mod problems;
mod retries;
mod security;
mod service;
mod settings;
mod streams;
mod webhook;
mod wire;
