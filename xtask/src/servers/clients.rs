//! Clients that nobody here wrote, for the tests of the HTTP layer: curl, the load generator wrk, and Python with packages from the Python Package Index.

use std::{
    ffi::OsStr,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    debian::quoted,
    product::{Product, Server, in_path, not_older, target},
};
use crate::root;

const CURL: Product = Product {
    name: "curl",
    servers: &["curl"],
    companions: &[],
    dirs: &[],
    packages: &[&["curl"]],
    // The one that can print a header of the response.
    version_in: |text| not_older(word_after(text, "curl")?, [7, 84]),
};

const WRK: Product = Product {
    name: "wrk",
    servers: &["wrk"],
    packages: &[&["wrk"]],
    version_in: |text| word_after(text, "wrk"),
    ..CURL
};

const INTERPRETER: Product = Product {
    name: "interpreter",
    servers: &["python3"],
    packages: &[&["python3", "python3-pip"]],
    version_in: |text| not_older(word_after(text, "Python")?, [3, 10]),
    ..CURL
};

pub(crate) fn curl() -> Result<Server, String> {
    CURL.find_or_fetch("IDEM_TEST_CURL").map_err(|reason| needed("curl", &reason))
}

pub(crate) fn wrk() -> Result<Server, String> {
    WRK.find_or_fetch("IDEM_TEST_WRK").map_err(|reason| needed("wrk", &reason))
}

fn needed(name: &str, reason: &str) -> String {
    format!("{name} is needed, and {reason}\ninstall the package {name}, then run this again")
}

fn word_after<'t>(text: &'t str, name: &str) -> Result<&'t str, String> {
    let mut words = text.split_whitespace().skip_while(|word| *word != name).skip(1);
    words.next().ok_or_else(|| "it does not tell its version:".to_owned())
}

/// A Python that has the packages, which are installed in the target folder and for nothing else.
pub(crate) fn python() -> Result<Server, String> {
    let variable = "IDEM_TEST_PYTHON";
    if std::env::var_os(variable).is_some_and(|value| !value.is_empty()) {
        return INTERPRETER.find_or_fetch(variable);
    }
    let dir = target().join("servers/python");
    let wanted = fs::read(root().join(REQUIREMENTS)).map_err(|error| error.to_string())?;
    // Kept beside the packages, so that other versions in the list are noticed.
    let installed = dir.join("requirements.txt");
    let launcher = dir.join("python3");
    if fs::read(&installed).is_ok_and(|there| there == wanted)
        && let Ok(python) = INTERPRETER.check(variable, launcher.clone())
    {
        return Ok(python);
    }
    println!("installing {REQUIREMENTS} into {}", dir.display());
    let python = interpreter().map_err(|reason| needed("python3", &reason))?;
    install(&python, &dir)?;
    let script = format!(
        "#!/bin/sh\nPYTHONDONTWRITEBYTECODE=1 PYTHONPATH={}:\"$PYTHONPATH\" exec {} \"$@\"\n",
        quoted(&dir.join("packages").display().to_string()),
        quoted(&python.display().to_string()),
    );
    let write = || {
        fs::write(&launcher, script)?;
        fs::set_permissions(&launcher, fs::Permissions::from_mode(0o755))?;
        fs::write(&installed, wanted)
    };
    write().map_err(|error| format!("cannot write {}: {error}", launcher.display()))?;
    INTERPRETER.check(variable, launcher)
}

const REQUIREMENTS: &str = "examples/payments/tests/requirements.txt";

/// The machine's Python if it has pip, or else one that is fetched with it.
pub(crate) fn interpreter() -> Result<PathBuf, String> {
    if let Some(python) = in_path(OsStr::new("python3"))
        && INTERPRETER.check("", python.clone()).is_ok()
        && has_pip(&python)
    {
        return Ok(python);
    }
    let fetched = INTERPRETER.fetch("")?;
    has_pip(&fetched.path).then_some(fetched.path).ok_or_else(|| "it has no pip".to_owned())
}

fn has_pip(python: &Path) -> bool {
    let mut probe = Command::new(python);
    probe.args(["-m", "pip", "--version"]).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

fn install(python: &Path, dir: &Path) -> Result<(), String> {
    let packages = dir.join("packages");
    // What is left of an attempt that was interrupted, or of other versions.
    let _ = fs::remove_dir_all(&packages);
    let output = Command::new(python)
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--target"])
        .arg(&packages)
        .arg("--requirement")
        .arg(root().join(REQUIREMENTS))
        .output();
    let output = output.map_err(|error| format!("pip does not run: {error}"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("pip cannot install {REQUIREMENTS}: {}", errors.trim()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        assert_eq!((CURL.version_in)("curl 7.88.1 (x86_64-pc-linux-gnu)").unwrap(), "7.88.1");
        assert!((CURL.version_in)("curl 7.68.0 (x86_64-pc-linux-gnu)").is_err());
        assert_eq!((WRK.version_in)("wrk debian/4.1.0-3 [epoll]").unwrap(), "debian/4.1.0-3");
        assert_eq!((INTERPRETER.version_in)("Python 3.11.7\n").unwrap(), "3.11.7");
        assert!((INTERPRETER.version_in)("sh: not found").is_err());
    }
}
