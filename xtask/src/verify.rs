//! `cargo xtask verify`.

use std::ffi::OsString;

use crate::run::cargo;

/// Hunts for violations of the guarantees with these arguments, and says whether there are none.
pub(crate) fn run(arguments: &[OsString]) -> bool {
    let mut hunt = cargo("run --release --package idem-verify --");
    hunt.args(arguments).status().is_ok_and(|status| status.success())
}
