//! Which program is the server.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
};

/// Names the server program for all tests, as a path or as a name to look for in `PATH`.
const VARIABLE: &str = "IDEM_REDIS_SERVER";

/// The server program: `IDEM_REDIS_SERVER` if it is set, else `redis-server` from `PATH`, else the one that `cargo xtask test` fetched.
///
/// # Panics
///
/// When there is none; the message says what to install.
#[track_caller]
pub fn server_binary() -> PathBuf {
    if let Some(named) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        return find(Path::new(&named)).unwrap_or_else(|| {
            panic!("there is no program {}, which {VARIABLE} names", named.display())
        });
    }
    find(Path::new("redis-server")).or_else(fetched).unwrap_or_else(|| {
        panic!(
            "the program redis-server is missing: run `cargo xtask test`, which fetches it on Debian and Ubuntu, \
             or install Redis 7.0 or later (`apt-get install redis-server`, `brew install redis`), \
             or name a server by {VARIABLE}=/path/to/redis-server"
        )
    })
}

/// What `cargo xtask test` leaves in the target folder.
fn fetched() -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent()?;
    let target = root.join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()));
    let path = target.join("servers/redis/redis-server");
    path.is_file().then_some(path)
}

/// Finds a program as a shell would.
pub(super) fn find(program: &Path) -> Option<PathBuf> {
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let path = env::var_os("PATH");
    env::split_paths(path.as_deref().unwrap_or(OsStr::new("")))
        .map(|dir| dir.join(program))
        .find(|candidate| candidate.is_file())
}
