//! Postgres.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    account,
    product::{Installation, USER, data},
    template::template,
};
use crate::program;

const VARIABLE: &str = "IDEM_POSTGRES_SERVER";

pub(super) const PASSWORD: &str = "secret";

/// Where distributions put the programs instead of into `PATH`: a folder, and what comes before the version in the name of a folder there.
const VERSIONED: [(&str, &str); 3] =
    [("/usr/lib/postgresql", ""), ("/usr/libexec", "postgresql"), ("/usr", "pgsql-")];

#[track_caller]
pub(super) fn installation() -> Installation {
    let program = server();
    let template = template("postgres", &program, |dir| initialize(&program, dir));
    let arguments = [
        "listen_addresses=127.0.0.1",
        "max_connections=1000",
        "shared_buffers=32MB",
        // In its folder, which is removed, and not in a place where a killed server leaves it behind.
        "dynamic_shared_memory_type=mmap",
    ];
    let arguments = arguments.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]);
    Installation { program, template, arguments: arguments.collect(), password: PASSWORD }
}

pub(super) fn arguments(port: u16, dir: &Path, fsync: bool) -> Vec<String> {
    let fsync = if fsync { "on" } else { "off" };
    vec![
        format!("-D{}", data(dir).display()),
        format!("-p{port}"),
        format!("-k{}", dir.display()),
        "-c".into(),
        format!("fsync={fsync}"),
    ]
}

#[track_caller]
fn server() -> PathBuf {
    let found = program::named_by(VARIABLE)
        .or_else(|| program::find(Path::new("postgres")))
        .or_else(newest_installed)
        .or_else(|| program::fetched("postgres/postgres"));
    found.unwrap_or_else(|| {
        panic!(
            "the program postgres is missing: run `cargo xtask test`, which fetches it on Debian and Ubuntu, \
             or install Postgres (`apt-get install postgresql`, `brew install postgresql`), \
             or name a server by {VARIABLE}=/path/to/postgres"
        )
    })
}

fn newest_installed() -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for (root, prefix) in VERSIONED {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok());
            let path = entry.path().join("bin/postgres");
            found.extend(version.filter(|_| path.is_file()).map(|version| (version, path)));
        }
    }
    found.into_iter().max().map(|(_, path)| path)
}

#[track_caller]
fn initialize(server: &Path, dir: &Path) {
    let password = dir.with_extension("password");
    fs::write(&password, PASSWORD)
        .unwrap_or_else(|error| panic!("cannot write {}: {error}", password.display()));
    account::give(&password);
    let mut command = Command::new(initdb_beside(server));
    command.arg("-D").arg(dir).args(["-U", USER, "--auth=scram-sha-256"]);
    command.arg("--pwfile").arg(&password);
    // A server that is killed is no power failure: what is in the system's cache survives.
    command.args(["--encoding=UTF8", "--locale=C", "--no-sync"]);
    command.current_dir(dir).stdin(Stdio::null());
    account::demote(&mut command);
    let output = command.output();
    let output = output.unwrap_or_else(|error| panic!("initdb does not run: {error}"));
    let _ = fs::remove_file(&password);
    assert!(
        output.status.success(),
        "initdb failed: {}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
}

/// The program of the same installation, which a link to the server may have left behind.
#[track_caller]
fn initdb_beside(server: &Path) -> PathBuf {
    let real = fs::canonicalize(server);
    let places = real.iter().map(PathBuf::as_path).chain([server]);
    let found = places.map(|server| server.with_file_name("initdb")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("there is no program initdb beside {}", server.display()))
}
