//! What callers were told, written down outside of the library, a line of JSON each.
//!
//! Like the ledger, a line is one `write` to a file opened for appending, so that what is written survives the SIGKILL of its writer.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use testkit::ledger;

/// A line of a diary.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The machine's monotonic clock, in nanoseconds.
    pub at: u64,
    /// Which call of the round; its upper half is the number of its process.
    pub call: u64,
    /// What happened.
    pub what: What,
}

/// What is worth a note.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// A call begins.
    Called {
        /// Of this key.
        key: String,
        /// Whether a crash parks it.
        parks: bool,
    },
    /// The body was told that its lease is lost.
    LeaseLost,
    /// A call ended.
    Answered(Answer),
    /// The caller went away.
    Dropped,
    /// The whole process stood still, from this time to that of the note. It belongs to no call.
    StoodStill {
        /// From when.
        since: u64,
    },
    /// The process ends, and its handle says that there are still calls. It belongs to no call.
    LeftBehind {
        /// How many.
        calls: usize,
    },
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// This call ran the body, and the result is recorded.
    Executed(String),
    /// Another call did.
    Replayed(String),
    /// This call ran the body, and the result is not recorded.
    Unrecorded(String),
    /// This call ran the body, which failed and released the key.
    Failed,
    /// With an error.
    Refused {
        /// Its kind.
        kind: String,
        /// Its text, and what caused it.
        text: String,
    },
}

/// A diary, open for writing.
#[derive(Debug)]
pub struct Diary {
    path: PathBuf,
    file: File,
}

impl Diary {
    /// Starts an empty diary in `dir`.
    pub fn create(dir: &Path) -> Self {
        let path = dir.join("diary.jsonl");
        let file = File::options().append(true).create_new(true).open(&path);
        let file = file.unwrap_or_else(|error| panic!("cannot create {}: {error}", path.display()));
        Self { path, file }
    }

    /// Writes a note down.
    pub fn note(&self, call: u64, what: What) {
        let note = Note { at: now(), call, what };
        let mut line = serde_json::to_string(&note).expect("a note is JSON");
        line.push('\n');
        // One call of `write`: a line written in two pieces could be cut by a SIGKILL.
        let written = (&self.file).write(line.as_bytes());
        assert_eq!(written.ok(), Some(line.len()), "cannot write to {}", self.path.display());
    }

    /// What was written to the diary in `dir`, if there is one.
    pub fn read(dir: &Path) -> Vec<Note> {
        let text = fs::read_to_string(dir.join("diary.jsonl")).unwrap_or_default();
        let notes = text.lines().map(serde_json::from_str);
        notes.collect::<Result<_, _>>().expect("a line of a diary is a note")
    }
}

/// The machine's monotonic clock in nanoseconds.
pub fn now() -> u64 {
    u64::try_from(ledger::now()).unwrap_or(u64::MAX)
}
