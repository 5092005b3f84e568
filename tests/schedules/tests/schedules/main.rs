//! The parts of the engine that live in one process, under every order of their steps that a scheduler comes upon.
#![warn(unused, clippy::all)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails")]

mod attach;
mod call;
mod context;
mod explore;
mod faults;
mod keeper;
mod ledger;
mod mistakes;
mod processes;
mod storage;
mod watchers;
