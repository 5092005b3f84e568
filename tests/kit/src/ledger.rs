//! An execution ledger: a file to which each execution of a body appends, whatever process it runs in.
//!
//! It is what a test counts executions by, so it depends on nothing that is under test: a line is one `write` to a file opened for appending,
//! which the system keeps whole and in order across processes, and which survives the SIGKILL of its writer.
//!
//! ```text
//! nanoseconds of the monotonic clock ⇥ process id ⇥ run ⇥ what ⇥ key ⇥ note
//! ```
//!
//! The monotonic clock is one for the whole machine, so that runs of different processes can be compared: [`Ledger::max_concurrent`] tells
//! whether two bodies of a key ever ran at once. A run that nobody finishes goes on for ever, as far as the ledger knows; when a test
//! kills a process it says so with [`Ledger::process_ended`].

mod entry;
mod overlap;

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub use entry::{Entry, What};
use nix::time::ClockId;

/// A ledger, open for writing and reading; every clone and every process that opens the path shares it.
#[derive(Debug, Clone)]
pub struct Ledger {
    path: PathBuf,
    file: Arc<File>,
}

impl Ledger {
    /// Starts an empty ledger in `dir`.
    #[track_caller]
    pub fn create(dir: impl AsRef<Path>) -> Self {
        let path = dir.as_ref().join("executions.tsv");
        match File::create_new(&path) {
            Ok(_) => Self::open(path),
            Err(error) => panic!("cannot create {}: {error}", path.display()),
        }
    }

    /// Opens the ledger that another process created, by its [`path`](Self::path).
    #[track_caller]
    pub fn open(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        match File::options().append(true).open(&path) {
            Ok(file) => Self { path, file: Arc::new(file) },
            Err(error) => panic!("cannot open the ledger {}: {error}", path.display()),
        }
    }

    /// Where it is, to be handed to other processes.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Records an execution that takes no time.
    #[track_caller]
    pub fn record(&self, key: &str, note: &str) {
        self.append(What::Once, next_run(), key, note);
    }

    /// Records that an execution begins. It ends when the returned guard is dropped, so also when a future that holds it is dropped.
    #[track_caller]
    #[must_use = "the execution ends when this is dropped"]
    pub fn start(&self, key: &str, note: &str) -> Run {
        let run = Run { ledger: self.clone(), id: next_run(), key: key.to_owned() };
        self.append(What::Start, run.id, key, note);
        run
    }

    /// Records that a process was killed: the runs it had begun are over.
    #[track_caller]
    pub fn process_ended(&self, pid: u32) {
        self.write(&Entry {
            at: now(),
            pid,
            run: 0,
            what: What::ProcessEnded,
            key: String::new(),
            note: String::new(),
        });
    }

    /// How many executions of `key` began.
    #[track_caller]
    pub fn executions(&self, key: &str) -> usize {
        self.counts().get(key).copied().unwrap_or(0)
    }

    /// How many executions began, by key.
    #[track_caller]
    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for entry in self.entries() {
            if entry.what.begins_execution() {
                *counts.entry(entry.key).or_default() += 1;
            }
        }
        counts
    }

    /// How many executions of `key` ever ran at the same time.
    #[track_caller]
    pub fn max_concurrent(&self, key: &str) -> usize {
        self.max_concurrent_by_key().get(key).copied().unwrap_or(0)
    }

    /// How many executions ever ran at the same time, by key.
    #[track_caller]
    pub fn max_concurrent_by_key(&self) -> BTreeMap<String, usize> {
        overlap::max_concurrent(&self.entries())
    }

    /// Everything written so far, in the order of writing.
    #[track_caller]
    pub fn entries(&self) -> Vec<Entry> {
        let text = fs::read_to_string(&self.path)
            .unwrap_or_else(|error| panic!("cannot read {}: {error}", self.path.display()));
        // What follows the last line feed is being written just now.
        let written = text.rfind('\n').map_or("", |end| &text[..end]);
        written.lines().map(Entry::parse).collect()
    }

    #[track_caller]
    fn append(&self, what: What, run: u64, key: &str, note: &str) {
        let pid = process::id();
        self.write(&Entry {
            at: now(),
            pid,
            run,
            what,
            key: key.to_owned(),
            note: note.to_owned(),
        });
    }

    #[track_caller]
    fn write(&self, entry: &Entry) {
        // One call of `write`, never `write_all`: a line written in two pieces could have another one between them.
        let line = entry.to_line();
        let written = (&*self.file).write(line.as_bytes());
        match written {
            Ok(length) if length == line.len() => {}
            other => panic!("cannot write a line to {}: {other:?}", self.path.display()),
        }
    }
}

/// An execution that goes on until this is dropped.
#[derive(Debug)]
pub struct Run {
    ledger: Ledger,
    id: u64,
    key: String,
}

impl Run {
    /// Ends the execution with a note.
    pub fn finish(self, note: &str) {
        self.ledger.append(What::Finish, self.id, &self.key, note);
        std::mem::forget(self);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.ledger.append(What::Dropped, self.id, &self.key, "");
    }
}

/// Tells the runs of one process apart.
fn next_run() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The machine's monotonic clock in nanoseconds, the same in every process: what [`Entry::at`] is counted in.
#[must_use]
pub fn now() -> u128 {
    let time = ClockId::CLOCK_MONOTONIC.now().expect("every system has a monotonic clock");
    Duration::from(time).as_nanos()
}
