//! The examples that need no server, as the README says them: without the features that the other steps switch on.

use std::{fs, path::Path};

use crate::{
    root,
    run::{Outcome, cargo, run, run_showing},
};

pub(super) fn run_all() -> Outcome {
    let alone = [
        "quickstart",
        "testing",
        "outbox_relay --features outbox,sqlite",
        "transfer --features sqlite,postgres",
    ]
    .map(|example| run(&mut cargo(&format!("run --quiet --example {example}"))));
    alone.into_iter().fold(Outcome::SUCCESS, Outcome::and).and(quickstart_twice())
}

/// The quickstart on a file: what its first run did is there in the second.
fn quickstart_twice() -> Outcome {
    let file = root().join("target/quickstart.db");
    if let Err(error) = remove(&file) {
        eprintln!("{}: {error}", file.display());
        return Outcome::FAILURE;
    }
    let paid = "start the program again";
    let replayed = "replayed, not paid again";
    [(paid, replayed), (replayed, paid)]
        .map(|(says, is_silent_on)| {
            let mut quickstart =
                cargo("run --quiet --example quickstart --features sqlite -- --storage");
            quickstart.arg(format!("sqlite:{}", file.display()));
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
