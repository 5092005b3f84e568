//! What the workspace depends on.

use std::{io::Write, process::Command};

use super::verdict::Verdict;
use crate::{
    run::{Outcome, run},
    tools::{DENY, SHEAR, Tool},
};

/// No package names a dependency that it does not use.
pub(super) fn unused() -> Outcome {
    with(&SHEAR, |shear| run(shear.args(["--color", "never"])))
}

/// Licences, sources, and crates that must not be there.
pub(super) fn deny() -> Outcome {
    with(&DENY, |deny| run(deny.args(["--workspace", "check", "bans", "licenses", "sources"])))
}

/// Known vulnerabilities and withdrawn versions, from a database on the network.
pub(super) fn advisories() -> Verdict {
    let mut deny = match DENY.command() {
        Ok(deny) => deny,
        Err(reason) => return missing(&reason).into(),
    };
    let output = match deny.args(["--workspace", "check", "advisories"]).output() {
        Ok(output) => output,
        Err(error) => return missing(&error.to_string()).into(),
    };
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() && said.contains("failed to fetch advisory database") {
        return Verdict::Skipped("the database of advisories cannot be fetched".to_owned());
    }
    // What it says is for people, and does not decide.
    let _ = std::io::stderr().write_all(&output.stderr);
    Outcome { success: output.status.success(), ..Outcome::SUCCESS }.into()
}

fn with(tool: &Tool, check: impl FnOnce(&mut Command) -> Outcome) -> Outcome {
    match tool.command() {
        Ok(mut command) => check(&mut command),
        Err(reason) => missing(&reason),
    }
}

fn missing(reason: &str) -> Outcome {
    eprintln!("{reason}");
    Outcome::FAILURE
}
