//! What the manifests promise: the oldest compiler, and how little an application builds.

use std::{collections::BTreeSet, fs, process::Command};

use super::verdict::Verdict;
use crate::{
    root,
    run::{Outcome, cargo, run},
};

/// How many crates the default build of the facade may have.
const MOST_CRATES: usize = 60;

/// Providers of cryptography for TLS: the application chooses one, and the library none.
const NOT_CHOSEN: [&str; 5] = ["aws-lc-rs", "boring", "native-tls", "openssl", "ring"];

/// `rust-version` is what the code needs.
///
/// Cargo refuses an older compiler, and with that one all steps check it. With a newer compiler this checks with the declared one, if
/// rustup has it.
pub(super) fn toolchain() -> Verdict {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap_or_default();
    let Some(declared) = rust_version_in(&manifest) else {
        eprintln!("Cargo.toml has no rust-version");
        return Outcome::FAILURE.into();
    };
    if !says(&format!("Rust {declared}")) {
        return Outcome::FAILURE.into();
    }
    let running = first_line(Command::new("rustc").arg("--version"));
    println!("rust-version {declared}, {running}");
    if is_of(declared, running.trim_start_matches("rustc ")) {
        return Outcome::SUCCESS.into();
    }
    let toolchains = lines(Command::new("rustup").args(["toolchain", "list"]));
    let Some(oldest) = toolchains.iter().find(|toolchain| is_of(declared, toolchain)) else {
        return Verdict::Skipped(format!(
            "this compiler is newer than {declared}: rustup toolchain install {declared}"
        ));
    };
    let name = oldest.split_whitespace().next().unwrap_or(oldest);
    let mut check = Command::new("rustup");
    check.args(["run", name, "cargo", "check", "--package", "idempotency", "--all-features"]);
    // Not with what another compiler has built.
    check.args(["--target-dir", "target/oldest"]).current_dir(root());
    run(check.env_remove("CARGO").env_remove("RUSTC").env_remove("RUSTUP_TOOLCHAIN")).into()
}

/// The default build is small, and no build chooses a TLS provider.
pub(super) fn crates() -> Outcome {
    let default = crates_of("--package idempotency");
    let everything = crates_of("--package idempotency --all-features");
    println!("{} crates by default, {} with all features", default.len(), everything.len());
    let mut outcome = Outcome::SUCCESS;
    if default.is_empty() || default.len() > MOST_CRATES {
        eprintln!(
            "the default build has {} crates, and may have {MOST_CRATES}: see `cargo tree -e normal`",
            default.len()
        );
        outcome = Outcome::FAILURE;
    }
    let names = everything.iter().filter_map(|package| package.split(' ').next());
    for provider in names.filter(|name| NOT_CHOSEN.contains(name)) {
        eprintln!(
            "{provider} is for applications to choose: `cargo tree --all-features -i {provider}`"
        );
        outcome = Outcome::FAILURE;
    }
    if !says(&format!("{} crates", default.len())) {
        outcome = Outcome::FAILURE;
    }
    outcome
}

/// The crates, with their versions, that a dependent compiles.
fn crates_of(what: &str) -> BTreeSet<String> {
    let tree = format!("tree {what} --edges normal --prefix none --no-dedupe --locked");
    let lines = lines(&mut cargo(&tree));
    lines.iter().map(|line| line.split(" (").next().unwrap_or(line).to_owned()).collect()
}

/// Whether the README says it.
fn says(fact: &str) -> bool {
    let readme = fs::read_to_string(root().join("README.md")).unwrap_or_default();
    let is_said = readme.split_whitespace().collect::<Vec<_>>().join(" ").contains(fact);
    if !is_said {
        eprintln!("README.md has to say: {fact}");
    }
    is_said
}

fn rust_version_in(manifest: &str) -> Option<&str> {
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "))?;
    Some(line.trim().trim_matches('"'))
}

/// Whether a version, with anything behind it, is one of `declared`: `1.95.1-x86_64` of `1.95`.
fn is_of(declared: &str, version: &str) -> bool {
    version
        .strip_prefix(declared)
        .is_some_and(|rest| !rest.starts_with(|next: char| next.is_ascii_digit()))
}

fn first_line(command: &mut Command) -> String {
    lines(command).into_iter().next().unwrap_or_default()
}

/// What a command prints; nothing if it fails.
fn lines(command: &mut Command) -> Vec<String> {
    match command.output() {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).lines().map(ToOwned::to_owned).collect()
        }
        Ok(output) => {
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            Vec::new()
        }
        Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_told_from_a_longer_one() {
        assert!(is_of("1.95", "1.95.0 (59807616e 2026-04-14)"));
        assert!(is_of("1.95", "1.95-x86_64-unknown-linux-gnu"));
        assert!(!is_of("1.95", "1.96.0 (…)"));
        assert!(!is_of("1.9", "1.95.0"));
        assert!(!is_of("1.95", "stable-x86_64-unknown-linux-gnu (active, default)"));
    }

    #[test]
    fn the_declared_version_is_read() {
        assert_eq!(rust_version_in("[workspace.package]\nrust-version = \"1.95\"\n"), Some("1.95"));
        assert_eq!(rust_version_in("[package]\nrust-version.workspace = true\n"), None);
    }
}
