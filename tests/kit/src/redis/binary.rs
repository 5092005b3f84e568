//! Which program is the server.

use std::path::{Path, PathBuf};

use crate::program;

/// Names the server program for all tests, as a path or as a name to look for in `PATH`.
const VARIABLE: &str = "IDEM_REDIS_SERVER";

/// The server program: `IDEM_REDIS_SERVER` if it is set, else `redis-server` from `PATH`, else the one that `cargo xtask test` fetched.
///
/// # Panics
///
/// When there is none; the message says what to install.
#[track_caller]
pub fn server_binary() -> PathBuf {
    let found = program::named_by(VARIABLE)
        .or_else(|| program::find(Path::new("redis-server")))
        .or_else(|| program::fetched("redis/redis-server"));
    found.unwrap_or_else(|| {
        panic!(
            "the program redis-server is missing: run `cargo xtask test`, which fetches it on Debian and Ubuntu, \
             or install Redis 7.0 or later (`apt-get install redis-server`, `brew install redis`), \
             or name a server by {VARIABLE}=/path/to/redis-server"
        )
    })
}
