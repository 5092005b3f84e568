//! Finding a server, and asking it what it is.

use std::{
    env,
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use super::debian;
use crate::root;

/// A product and where it may be.
pub(super) struct Product {
    /// Its folder among those that are fetched.
    pub(super) name: &'static str,
    /// The server, under each name that it goes by.
    pub(super) servers: &'static [&'static str],
    /// What else is needed beside it.
    pub(super) companions: &'static [&'static str],
    /// Folders that are not in everybody's `PATH`; a `*` stands for versions.
    pub(super) dirs: &'static [&'static str],
    /// What to fetch: the first of these that there is.
    pub(super) packages: &'static [&'static [&'static str]],
    /// Reads the version in what the server says of itself, or says why it is not good enough.
    pub(super) version_in: fn(&str) -> Result<&str, String>,
}

/// A server that was found and answers.
#[derive(Debug)]
pub(crate) struct Server {
    /// Tells the tests which program to start.
    pub(crate) variable: &'static str,
    pub(crate) path: PathBuf,
    pub(crate) version: String,
}

impl Server {
    /// Tells a command which program to start.
    pub(crate) fn name_to<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command.env(self.variable, &self.path)
    }
}

impl Product {
    /// The server that `variable` names; else one of the machine; else one that was fetched, now if need be.
    pub(super) fn find_or_fetch(&self, variable: &'static str) -> Result<Server, String> {
        if let Some(named) = env::var_os(variable).filter(|value| !value.is_empty()) {
            let missing = || format!("{variable}: no {}", named.display());
            return self.check(variable, in_path(&named).ok_or_else(missing)?);
        }
        if let Some(path) = self.installed() {
            return self.check(variable, path);
        }
        let dir = target().join("servers").join(self.name);
        let [server, ..] = self.servers else { return Err("it has no name".into()) };
        let path = dir.join(server);
        // One that was fetched before may have been made for another place.
        if let Ok(server) = self.check(variable, path.clone()) {
            return Ok(server);
        }
        println!("{server} is not installed; fetching it into {}", dir.display());
        self.fetch(variable)
    }

    /// One that is fetched, although there may be another.
    pub(super) fn fetch(&self, variable: &'static str) -> Result<Server, String> {
        let dir = target().join("servers").join(self.name);
        let [server, ..] = self.servers else { return Err("it has no name".into()) };
        let path = dir.join(server);
        let programs: Vec<_> =
            [*server].into_iter().chain(self.companions.iter().copied()).collect();
        let mut result = Err("there is no package".to_owned());
        for packages in self.packages {
            result = debian::fetch(packages, &programs, &dir);
            if result.is_ok() {
                break;
            }
        }
        result.and_then(|()| self.check(variable, path))
    }

    fn installed(&self) -> Option<PathBuf> {
        let in_dirs = || {
            self.dirs.iter().flat_map(|dir| matching(dir)).find_map(|dir| {
                self.servers.iter().map(|name| dir.join(name)).find(|path| path.is_file())
            })
        };
        self.servers.iter().find_map(|name| in_path(name.as_ref())).or_else(in_dirs)
    }

    pub(super) fn check(&self, variable: &'static str, path: PathBuf) -> Result<Server, String> {
        let name = path.display();
        let output = Command::new(&path).arg("--version").output();
        let output = output.map_err(|error| format!("{name} does not run: {error}"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = (self.version_in)(&text).map_err(|reason| {
            let errors = String::from_utf8_lossy(&output.stderr);
            format!("{name}: {reason} {} {}", text.trim(), errors.trim())
        })?;
        Ok(Server { variable, version: version.to_owned(), path })
    }
}

/// A version if it is at least `oldest`.
pub(super) fn not_older(version: &str, oldest: [u32; 2]) -> Result<&str, String> {
    let mut numbers =
        version.split(|char: char| !char.is_ascii_digit()).map_while(|number| number.parse().ok());
    let found = [numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)];
    let [major, minor] = oldest;
    if found < oldest { Err(format!("{major}.{minor} or later is needed:")) } else { Ok(version) }
}

/// A program as a shell would find it.
pub(super) fn in_path(program: &OsStr) -> Option<PathBuf> {
    let program = Path::new(program);
    if program.components().count() > 1 {
        return program.is_file().then(|| program.to_owned());
    }
    let dirs = env::var_os("PATH")?;
    env::split_paths(&dirs).map(|dir| dir.join(program)).find(|path| path.is_file())
}

/// The folders that a name with at most one `*` stands for, the highest version first.
pub(super) fn matching(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else { return vec![pattern.into()] };
    let (parent, prefix) = before.rsplit_once('/').unwrap_or(("", before));
    let mut found: Vec<(u32, PathBuf)> = Vec::new();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let version = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok());
        let path = entry.path().join(after.trim_start_matches('/'));
        found.extend(version.map(|version| (version, path)));
    }
    found.sort();
    found.into_iter().rev().map(|(_, path)| path).collect()
}

/// Where cargo builds.
pub(crate) fn target() -> PathBuf {
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHELL: Product = Product {
        name: "shell",
        servers: &["sh"],
        companions: &[],
        dirs: &[],
        packages: &[],
        version_in: |_| Err("does not tell its version:".into()),
    };

    #[test]
    fn programs_are_found_in_the_path_and_by_their_path() {
        let shell = in_path("sh".as_ref()).unwrap();
        assert_eq!(in_path(shell.as_os_str()), Some(shell.clone()));
        assert_eq!(SHELL.installed(), Some(shell));
        assert_eq!(in_path("no-such-program".as_ref()), None);
        assert_eq!(in_path("/no/such/program".as_ref()), None);
    }

    #[test]
    fn a_program_that_is_no_server_is_refused() {
        let check = |path: &str| SHELL.check("SHELL", path.into()).unwrap_err();
        assert!(check("/bin/true").contains("does not tell its version"));
        assert!(check("/no/such/program").contains("does not run"));
    }

    #[test]
    fn older_versions_are_refused() {
        assert_eq!(
            not_older("10.11.19-MariaDB-0+deb12u1", [10, 6]),
            Ok("10.11.19-MariaDB-0+deb12u1")
        );
        assert_eq!(not_older("8.0", [8, 0]), Ok("8.0"));
        assert!(not_older("10.5.99", [10, 6]).is_err());
        assert!(not_older("beta", [7, 0]).is_err());
    }

    #[test]
    fn folders_of_the_highest_version_come_first() {
        let dir = env::temp_dir().join(format!("xtask versions {}", std::process::id()));
        for version in ["9", "15", "x"] {
            std::fs::create_dir_all(dir.join(format!("pgsql-{version}/bin"))).unwrap();
        }
        let found = matching(&format!("{}/pgsql-*/bin", dir.display()));
        std::fs::remove_dir_all(&dir).unwrap();
        assert_eq!(found, ["pgsql-15/bin", "pgsql-9/bin"].map(|name| dir.join(name)));
        assert_eq!(matching("/usr/sbin"), [PathBuf::from("/usr/sbin")]);
    }
}
