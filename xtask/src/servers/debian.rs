//! Fetches a server from the packages of Debian and its relatives without installing it.
//!
//! `apt-get` is given folders of its own for what it would keep in `/var`, downloads the packages and the libraries that the machine lacks, and
//! the packages are unpacked side by side. The machine's package sources are used as they are. Where they do not have the package,
//! Debian's backports are asked as well, again without touching the machine's configuration.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::product::matching;

/// Where packages have their programs.
const PLACES: [&str; 3] = ["/usr/bin", "/usr/sbin", "/usr/lib/postgresql/*/bin"];

const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// Leaves runnable `programs` of the packages in `dir`, or says why not.
pub(super) fn fetch(packages: &[&str], programs: &[&str], dir: &Path) -> Result<(), String> {
    let unpacked = unpack(packages, dir)?;
    for program in programs {
        let places =
            PLACES.iter().flat_map(|place| matching(&format!("{}{place}", unpacked.display())));
        let found = places.map(|place| place.join(program)).find(|path| path.is_file());
        let found =
            found.ok_or_else(|| format!("there is no {program} in {}", packages.join(", ")))?;
        write_launcher(&unpacked, &found, &dir.join(program))
            .map_err(|error| format!("cannot write {}: {error}", dir.join(program).display()))?;
    }
    Ok(())
}

/// Unpacks packages and the libraries that the machine lacks, and gives the folder that stands for `/`.
pub(super) fn unpack(packages: &[&str], dir: &Path) -> Result<PathBuf, String> {
    let apt =
        Apt::prepare(&dir.join("apt")).map_err(|error| format!("{}: {error}", dir.display()))?;
    if let Err(reason) = apt.download(packages) {
        let backports = backports_of(&fs::read_to_string("/etc/os-release").unwrap_or_default());
        let backports = backports.ok_or(reason)?;
        apt.use_sources(&backports).map_err(|error| format!("cannot write sources: {error}"))?;
        apt.download(packages)?;
    }
    let unpacked = dir.join("root");
    for package in apt.downloaded().map_err(|error| format!("{}: {error}", dir.display()))? {
        let unpack = Command::new("dpkg-deb").arg("-x").arg(&package).arg(&unpacked).status();
        if !unpack.is_ok_and(|status| status.success()) {
            return Err(format!("dpkg-deb cannot unpack {}", package.display()));
        }
    }
    apt.remove();
    Ok(unpacked)
}

/// An `apt-get` that keeps everything in one folder.
struct Apt {
    dir: PathBuf,
}

impl Apt {
    fn prepare(dir: &Path) -> std::io::Result<Self> {
        for needed in ["state/lists/partial", "cache/archives/partial"] {
            fs::create_dir_all(dir.join(needed))?;
        }
        Ok(Self { dir: dir.to_owned() })
    }

    /// Adds a line to the machine's package sources, for this `apt-get` alone.
    fn use_sources(&self, line: &str) -> std::io::Result<()> {
        let machine = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
        fs::write(self.sources(), format!("{machine}\n{line}\n"))
    }

    fn sources(&self) -> PathBuf {
        self.dir.join("sources.list")
    }

    fn download(&self, packages: &[&str]) -> Result<(), String> {
        // Sources that fail are left out, which is fine as long as the others have the packages.
        let _ = self.apt_get(&["update"]);
        let install =
            ["install", "--yes", "--download-only", "--reinstall", "--no-install-recommends"];
        self.apt_get(&install.into_iter().chain(packages.iter().copied()).collect::<Vec<_>>())
    }

    fn apt_get(&self, arguments: &[&str]) -> Result<(), String> {
        let mut command = Command::new("apt-get");
        let set = |command: &mut Command, name: &str, value: &Path| {
            command.arg("-o").arg(format!("{name}={}", value.display()));
        };
        set(&mut command, "Dir::State", &self.dir.join("state"));
        set(&mut command, "Dir::Cache", &self.dir.join("cache"));
        // What the machine has is not downloaded.
        set(&mut command, "Dir::State::status", Path::new("/var/lib/dpkg/status"));
        if self.sources().is_file() {
            set(&mut command, "Dir::Etc::sourcelist", &self.sources());
        }
        // As root it would otherwise become a user who may not enter this folder, and it must not wait for an apt-get that changes the machine.
        command.args(["-o", "APT::Sandbox::User=root", "-o", "Debug::NoLocking=true"]);
        command.args(["-o", "Acquire::Languages=none", "--quiet", "--quiet"]);
        let output = command.args(arguments).stdin(Stdio::null()).output();
        let output = output.map_err(|error| format!("apt-get does not run: {error}"))?;
        if output.status.success() {
            return Ok(());
        }
        let errors = String::from_utf8_lossy(&output.stderr);
        Err(format!("apt-get says: {}", errors.trim().replace('\n', "; ")))
    }

    /// Removes its folder, which is much larger than the server. If that fails it is merely in the way.
    fn remove(self) {
        let _ = fs::remove_dir_all(self.dir);
    }

    fn downloaded(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut packages = Vec::new();
        for entry in fs::read_dir(self.dir.join("cache/archives"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "deb") {
                packages.push(path);
            }
        }
        Ok(packages)
    }
}

/// The source line of the backports for the machine's release, if it is a Debian that has them.
fn backports_of(os_release: &str) -> Option<String> {
    let field = |name: &str| {
        let value = os_release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.map(|value| value.trim_matches('"'))
    };
    if field("ID") != Some("debian") {
        return None;
    }
    let release = field("VERSION_CODENAME")?;
    let mirror = "http://deb.debian.org/debian";
    Some(format!("deb [signed-by={KEYRING}] {mirror} {release}-backports main"))
}

/// A script that runs an unpacked program with the libraries unpacked beside it.
fn write_launcher(unpacked: &Path, program: &Path, launcher: &Path) -> std::io::Result<()> {
    let mut libraries = Vec::new();
    for lib in ["lib", "usr/lib"].map(|lib| unpacked.join(lib)) {
        let Ok(entries) = fs::read_dir(&lib) else { continue };
        let folders = entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir());
        // Debian has them in a folder named after the machine, such as x86_64-linux-gnu.
        libraries.extend(folders.filter(|path| path.to_string_lossy().contains("-linux-")));
        libraries.push(lib);
    }
    let libraries: Vec<_> = libraries.iter().map(|path| path.display().to_string()).collect();
    let script = format!(
        "#!/bin/sh\nLD_LIBRARY_PATH={} exec {} \"$@\"\n",
        quoted(&libraries.join(":")),
        quoted(&program.display().to_string()),
    );
    fs::write(launcher, script)?;
    fs::set_permissions(launcher, fs::Permissions::from_mode(0o755))
}

/// A word that a shell takes as it is.
pub(super) fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backports_are_those_of_the_release() {
        let bookworm = "PRETTY_NAME=\"Debian\"\nID=debian\nVERSION_CODENAME=bookworm\n";
        let line = backports_of(bookworm).unwrap();
        assert!(line.ends_with("http://deb.debian.org/debian bookworm-backports main"), "{line}");
        assert_eq!(backports_of("ID=ubuntu\nVERSION_CODENAME=noble\n"), None);
        assert_eq!(backports_of("ID=debian\n"), None);
    }

    #[test]
    fn a_launcher_hands_its_arguments_on() {
        let dir = std::env::temp_dir().join(format!("xtask launcher's {}", std::process::id()));
        fs::create_dir_all(dir.join("root/usr/bin")).unwrap();
        std::os::unix::fs::symlink("/bin/echo", dir.join("root/usr/bin/program")).unwrap();
        let program = dir.join("root/usr/bin/program");
        write_launcher(&dir.join("root"), &program, &dir.join("launcher")).unwrap();
        let output = Command::new(dir.join("launcher")).args(["a b", "$c"]).output().unwrap();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stdout), "a b $c\n");
    }
}
