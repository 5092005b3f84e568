//! The examples that need no server.
//!
//! They run as the tests have built everything, with all features. That the features which the
//! README names for each are enough is checked without building: see [`each_compiles_alone`].

use std::{fs, path::Path, process::Command};

use super::features;
use crate::{
    root,
    run::{Outcome, cargo, run, run_showing},
    servers::target,
};

/// Each example, or some, with the features that the README names for them.
const AS_SHOWN: [&str; 3] = [
    "--example quickstart --example testing --example worker",
    "--example outbox_relay --features outbox,sqlite",
    "--example transfer --example quickstart --features sqlite,postgres",
];

pub(super) fn each_compiles_alone() -> Outcome {
    let check = |examples: &str| {
        println!("   {examples}");
        let check = format!("clippy --quiet --package idempotency {examples}");
        run(cargo(&check).args(["--", "--deny", "warnings"]))
    };
    AS_SHOWN.into_iter().map(check).fold(Outcome::SUCCESS, Outcome::and)
}

pub(super) fn run_all() -> Outcome {
    let features = features::all_as_argument();
    let build = cargo(&format!("build --quiet --workspace --examples {features}")).status();
    if !build.is_ok_and(|status| status.success()) {
        return Outcome::FAILURE;
    }
    let alone = ["quickstart", "testing", "outbox_relay", "transfer"];
    let alone = alone.into_iter().map(|name| run(&mut example(name)));
    alone.fold(Outcome::SUCCESS, Outcome::and).and(quickstart_twice())
}

fn example(name: &str) -> Command {
    let mut example = Command::new(target().join("debug/examples").join(name));
    example.current_dir(root());
    example
}

/// The quickstart on a file: what its first run did is there in the second.
fn quickstart_twice() -> Outcome {
    let file = target().join("quickstart.db");
    if let Err(error) = remove(&file) {
        eprintln!("{}: {error}", file.display());
        return Outcome::FAILURE;
    }
    let paid = "start the program again";
    let replayed = "replayed, not paid again";
    [(paid, replayed), (replayed, paid)]
        .map(|(says, is_silent_on)| {
            let mut quickstart = example("quickstart");
            quickstart.arg("--storage").arg(format!("sqlite:{}", file.display()));
            let (outcome, shown) = run_showing(&mut quickstart);
            if outcome.success && shown.contains(says) && !shown.contains(is_silent_on) {
                return outcome;
            }
            eprintln!("the quickstart did not say `{says}`");
            Outcome::FAILURE
        })
        .into_iter()
        .fold(Outcome::SUCCESS, Outcome::and)
}

/// Removes a SQLite file and what SQLite keeps beside it.
fn remove(file: &Path) -> std::io::Result<()> {
    fs::create_dir_all(file.parent().unwrap_or(file))?;
    for suffix in ["", "-wal", "-shm"] {
        let file = format!("{}{suffix}", file.display());
        if fs::exists(&file)? {
            fs::remove_file(file)?;
        }
    }
    Ok(())
}
