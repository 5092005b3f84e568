//! The parts of the engine that live in one process, under every order of their steps that a scheduler comes upon.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that fails")]

mod attach;
mod bugs;
mod context;
mod explore;
mod faults;
mod keeper;
mod ledger;
mod processes;
mod watchers;
