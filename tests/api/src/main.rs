//! Compares the public API of the published crates with the listings beside this package, or writes them: `idem-api DOCS [--write]`.
//!
//! `DOCS` holds what rustdoc has written as JSON. A listing has one line for each public item, so that a change of the API is a
//! change of a file that somebody reads. Items that are `#[doc(hidden)]` are no part of it: the attribute's plumbing is in none.
#![allow(clippy::print_stdout, reason = "a program of the workspace, not of its users")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, ensure};

/// The facade, and the crates whose items it hands on.
const CRATES: [&str; 4] = ["idempotency", "idem_runtime", "idem_http", "idem_outbox"];

/// Where the attribute's expansions find what they need.
const PLUMBING: [&str; 2] = ["idempotency::__private", "macro_support"];

fn main() -> anyhow::Result<ExitCode> {
    let mut arguments = env::args_os().skip(1);
    let docs = PathBuf::from(arguments.next().context("where are the docs?")?);
    let write = arguments.next().is_some_and(|argument| argument == "--write");
    let mut is_same = true;
    for name in CRATES {
        let listing = listing(&docs.join(name).with_extension("json"))?;
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join(name).with_extension("txt");
        if write {
            fs::write(&kept, listing)?;
        } else {
            is_same &= compare(&kept, &listing, &docs)?;
        }
    }
    if !is_same {
        println!("If the change is meant, and the CHANGELOG tells of it: cargo xtask api");
    }
    Ok(if is_same { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn listing(json: &Path) -> anyhow::Result<String> {
    let api = public_api::Builder::from_rustdoc_json(json)
        .omit_blanket_impls(true)
        .omit_auto_trait_impls(true)
        .build()
        .with_context(|| {
            format!("cannot read {} as the rustdoc of Rust 1.95 writes it", json.display())
        })?;
    let mut listing = String::new();
    for item in api.items() {
        let line = item.to_string();
        let is_plumbing = PLUMBING.iter().any(|module| line.contains(module));
        ensure!(!is_plumbing, "only expansions may name the attribute's plumbing: {line}");
        listing.push_str(&line);
        listing.push('\n');
    }
    Ok(listing)
}

/// Whether the kept listing is this one; if not, says what differs.
fn compare(kept: &Path, listing: &str, scratch: &Path) -> anyhow::Result<bool> {
    if fs::read_to_string(kept).is_ok_and(|kept| kept == listing) {
        return Ok(true);
    }
    let current = scratch.join("current.txt");
    fs::write(&current, listing)?;
    println!("{} is no longer the public API:", kept.display());
    let mut diff = Command::new("diff");
    let status = diff.args(["--unified=0", "--new-file"]).arg(kept).arg(&current).status()?;
    ensure!(status.code() == Some(1), "diff does not tell what differs");
    Ok(false)
}
