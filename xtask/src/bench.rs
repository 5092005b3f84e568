//! `cargo xtask bench`.

use std::ffi::OsString;

use crate::{run::cargo, servers};

/// Runs the benchmarks, and says whether they succeeded.
pub(crate) fn run(arguments: &[OsString]) -> bool {
    let mut benches = cargo("run --profile bench --package idem-benches --");
    for server in [servers::redis, servers::postgres, servers::mysql] {
        match server() {
            Ok(server) => drop(server.name_to(&mut benches)),
            Err(reason) => {
                eprintln!("{reason}");
                return false;
            }
        }
    }
    benches.args(arguments).status().is_ok_and(|status| status.success())
}
