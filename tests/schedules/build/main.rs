//! Weaves the sources of `idem-runtime` for a scheduler that decides everything.
//!
//! What is built is the runtime itself, line by line, but its locks, atomics, tasks and wake-ups are those of `shuttle`, which may let
//! another task go on at each of them, and its time is [`time.rs`](../src/time.rs). Nothing of that is in the runtime's own sources: they
//! name `tokio`, `parking_lot` and `std`, and here those names mean something else. Mistakes are woven in as well, switched off until a
//! test wants one.

mod bugs;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{env, fs};

use bugs::BUGS;

/// A piece of a source file, and what takes its place: in all places, or in the one place where it is.
struct Change {
    from: &'static str,
    to: &'static str,
}

/// What the scheduler has to see.
const EVERYWHERE: [Change; 8] = [
    Change { from: "std::sync::atomic", to: "shuttle::sync::atomic" },
    Change { from: "tokio::time::", to: "crate::time::" },
    Change { from: "watch::Sender::new(())", to: "watch::channel(()).0" },
    // Every lock is a step, and the keeper takes one for each shard at every look.
    Change { from: "const SHARDS: usize = 16;", to: "const SHARDS: usize = 2;" },
    Change { from: "const SHARDS: usize = 64;", to: "const SHARDS: usize = 2;" },
    // Its own tests are run where they are.
    Change { from: "#[cfg(test)]", to: "#[cfg(any())]" },
    Change { from: "#[cfg(all(test, ", to: "#[cfg(all(any(), " },
    // Drawn at random otherwise, and with it which keys share a lock.
    Change {
        from: "use hashbrown::DefaultHashBuilder;",
        to: "type DefaultHashBuilder = std::hash::BuildHasherDefault<std::hash::DefaultHasher>;",
    },
];

/// What is not built here: the suite for storages needs more of tokio than there is.
const LEFT_OUT: Change = Change { from: "pub mod conformance;\n", to: "" };

/// In place of `driver.rs`: there is one runtime, and no thread that goes on by itself.
const NO_THREADS: &str = r"
use futures_util::FutureExt;
use tokio::runtime::Handle;

pub(crate) fn engine() -> Option<&'static Handle> {
    None
}

pub(crate) fn begin_on(_: &Handle, future: &mut (impl Future<Output = ()> + Unpin)) -> bool {
    future.now_or_never().is_some()
}
";

fn main() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let sources = manifest.join("../../idem-runtime/src");
    println!("cargo::rerun-if-changed={}", sources.display());
    println!("cargo::rerun-if-changed={}", manifest.join("build").display());
    let woven = PathBuf::from(env::var("OUT_DIR")?).join("woven");
    if woven.exists() {
        fs::remove_dir_all(&woven)?;
    }
    let mut places = [0; EVERYWHERE.len()];
    weave(&sources, &woven, &mut places)?;
    for (Change { from, .. }, places) in EVERYWHERE.iter().zip(places) {
        if places == 0 {
            return Err(format!("nowhere: {from}").into());
        }
    }
    once(&woven.join("testing/mod.rs"), &LEFT_OUT)?;
    fs::write(woven.join("driver.rs"), NO_THREADS)?;
    for bug in BUGS {
        for change in bug.changes {
            once(&woven.join(bug.file), change)?;
        }
    }
    Ok(())
}

/// Counts in how many places each change was made.
fn weave(from: &Path, to: &Path, places: &mut [usize]) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let (path, target) = {
            let entry = entry?;
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            weave(&path, &target, places)?;
        } else {
            let mut text = fs::read_to_string(&path)?;
            for (Change { from, to }, places) in EVERYWHERE.iter().zip(&mut *places) {
                *places += text.matches(from).count();
                text = text.replace(from, to);
            }
            if path.ends_with("src/lib.rs") {
                text = without_inner_attributes(&text);
            }
            fs::write(target, text)?;
        }
    }
    Ok(())
}

/// A crate's root that may be included in another one.
fn without_inner_attributes(text: &str) -> String {
    let is_outer = |line: &&str| !line.starts_with("//!") && !line.starts_with("#![");
    text.lines().filter(is_outer).flat_map(|line| [line, "\n"]).collect()
}

/// Changes what has to be in one place, so that a change of the sources does not go past a mistake unnoticed.
fn once(path: &Path, Change { from, to }: &Change) -> Result<(), Box<dyn Error>> {
    let text = fs::read_to_string(path)?;
    match text.matches(from).count() {
        1 => Ok(fs::write(path, text.replace(from, to))?),
        places => {
            Err(format!("in {places} places of {}, not in one:\n{from}", path.display()).into())
        }
    }
}
