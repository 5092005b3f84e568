//! The recipes as readers run them: processes, some of which crash, on storages that outlive them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a panic is how a test fails, in the functions that tests share as well"
)]

mod clock;
mod pages;
mod programs;
mod service;
mod services;
