//! `cargo xtask chaos` and `cargo xtask soak`.

use std::ffi::OsString;

use crate::{run::cargo, servers};

/// Runs the task of this name with these arguments, and says whether the guarantees held.
///
/// Not optimised, so that arithmetic that overflows and assertions that fail are found as well.
pub(crate) fn run(task: &str, arguments: &[OsString]) -> bool {
    let mut chaos = cargo("run --package idem-chaos --");
    for server in [servers::redis, servers::postgres, servers::mysql] {
        match server() {
            Ok(server) => drop(server.name_to(&mut chaos)),
            Err(reason) => {
                eprintln!("{reason}");
                return false;
            }
        }
    }
    chaos.arg(task).args(arguments).status().is_ok_and(|status| status.success())
}
