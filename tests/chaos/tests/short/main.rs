//! The short form of chaos and soak, and the judge's judgement.
#![allow(
    clippy::panic,
    clippy::print_stdout,
    reason = "a panic is how a test fails, and what it prints says why"
)]

mod flaws;
mod oracle;
mod program;
mod rounds;
mod soak;

use std::path::{Path, PathBuf};

/// The program that is the workers.
fn program() -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_idem-chaos")).to_owned()
}
