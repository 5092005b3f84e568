//! `cargo xtask bench`.

use std::ffi::OsString;

use crate::{run::cargo, servers};

/// Runs the benchmarks, and says whether they succeeded.
pub(crate) fn run(arguments: &[OsString]) -> bool {
    let redis = match servers::redis() {
        Ok(redis) => redis,
        Err(reason) => {
            eprintln!("{reason}");
            return false;
        }
    };
    cargo("run --profile bench --package idem-benches --")
        .args(arguments)
        .env(servers::VARIABLE, redis.path)
        .status()
        .is_ok_and(|status| status.success())
}
