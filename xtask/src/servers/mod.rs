//! The servers that the tests run against.
//!
//! A server is looked for where the user says, then in `PATH`, then in the target folder, and is fetched into the target folder if need be: see
//! [`debian`]; likewise [`faketime`], which is no server. Nothing is installed on the machine, so nothing needs root, no service is started,
//! and `cargo clean` removes all of it.

mod debian;
pub(crate) mod faketime;

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use crate::root;

/// Tells the tests which server program to start.
pub(crate) const VARIABLE: &str = "IDEM_REDIS_SERVER";

/// The oldest version whose commands the library uses.
const OLDEST: u32 = 7;

/// A server that was found and answers.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

/// The Redis server, without which there are no tests.
pub(crate) fn redis() -> Result<Server, String> {
    if let Some(named) = env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let path = in_path(&named).ok_or_else(|| format!("{VARIABLE}: no {}", named.display()))?;
        return check(path);
    }
    find_or_fetch("redis").map_err(|reason| {
        format!(
            "redis-server {OLDEST}.0 or later is needed, and {reason}\n\
             install it, then run this again:\n  \
             Debian, Ubuntu   sudo apt-get install redis-server\n  \
             Fedora           sudo dnf install redis\n  \
             Alpine           sudo apk add redis\n  \
             Arch             sudo pacman -S redis\n  \
             macOS            brew install redis\n\
             or name a server program: {VARIABLE}=/path/to/redis-server"
        )
    })
}

/// The Valkey server, which not every distribution has.
pub(crate) fn valkey() -> Result<Server, String> {
    find_or_fetch("valkey")
}

fn find_or_fetch(product: &str) -> Result<Server, String> {
    let program = format!("{product}-server");
    if let Some(path) = in_path(program.as_ref()) {
        return check(path);
    }
    let dir = target().join("servers").join(product);
    let path = dir.join(&program);
    // One that was fetched before may have been made for another place.
    if let Ok(server) = check(path.clone()) {
        return Ok(server);
    }
    println!("{program} is not installed; fetching it into {}", dir.display());
    debian::fetch(product, &dir)?;
    check(path)
}

fn check(path: PathBuf) -> Result<Server, String> {
    let name = path.display();
    let output = Command::new(&path).arg("--version").output();
    let output = output.map_err(|error| format!("{name} does not run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    let version = version_in(&text).ok_or_else(|| {
        let errors = String::from_utf8_lossy(&output.stderr);
        format!("{name} does not tell its version: {} {}", text.trim(), errors.trim())
    })?;
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    if major < Some(OLDEST) {
        return Err(format!("{name} is version {version}"));
    }
    Ok(Server { version: version.to_owned(), path })
}

/// The version in a line such as `Redis server v=7.0.15 sha=00000000:0 …`.
fn version_in(text: &str) -> Option<&str> {
    text.split_whitespace().find_map(|word| word.strip_prefix("v="))
}

/// A program as a shell would find it.
fn in_path(program: &OsStr) -> Option<PathBuf> {
    let program = Path::new(program);
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let dirs = env::var_os("PATH")?;
    env::split_paths(&dirs).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// Where cargo builds.
fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_both_products_are_read() {
        let redis = "Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n";
        assert_eq!(version_in(redis), Some("7.0.15"));
        let valkey = "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64\n";
        assert_eq!(version_in(valkey), Some("8.1.1"));
        assert_eq!(version_in("sh: not found"), None);
    }

    #[test]
    fn programs_are_found_in_the_path_and_by_their_path() {
        let shell = in_path("sh".as_ref()).unwrap();
        assert_eq!(in_path(shell.as_os_str()), Some(shell));
        assert_eq!(in_path("no-such-program".as_ref()), None);
        assert_eq!(in_path("/no/such/program".as_ref()), None);
    }

    #[test]
    fn a_program_that_is_no_server_is_refused() {
        assert!(check("/bin/true".into()).unwrap_err().contains("does not tell its version"));
        assert!(check("/no/such/program".into()).unwrap_err().contains("does not run"));
    }
}
