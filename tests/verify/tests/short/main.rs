//! The short forms of what `cargo xtask verify --long` does at length, and mistakes that each of them has to find.
#![allow(clippy::unwrap_used, reason = "a test that fails")]

mod linear;
mod model;
mod sim;
