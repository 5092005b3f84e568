//! All that is known of a round.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::time::Duration;

use testkit::ledger::{self, Entry};

use super::of_key::{Call, KeyStory, Run};
use crate::backend::Promise;
use crate::diary::{Note, What};
use crate::worker::FAILED;

/// From one moment of the machine's monotonic clock to another, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// Its beginning.
    pub from: u64,
    /// Its end.
    pub to: u64,
}

/// What a process left behind.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// What its bodies did.
    pub entries: Vec<Entry>,
    /// What its callers were told.
    pub notes: Vec<Note>,
    /// When it was stopped.
    pub stops: Vec<Span>,
    /// How it ended, where nobody had asked it to.
    pub ended_badly: Option<String>,
}

/// A round, to be judged.
#[derive(Clone, Debug)]
pub struct Story {
    /// What the backend may lose.
    pub promise: Promise,
    /// The lease of every call.
    pub lease: Duration,
    /// Who took part; the one who asked last is among them.
    pub processes: Vec<Process>,
    /// When the backend may have lost something: crashes of its server, failovers.
    pub losses: Vec<Span>,
    /// The number of the process that asked last.
    pub last: usize,
    /// Keys whose record was still at work, or gone, when all was over.
    pub left: Vec<(String, &'static str)>,
}

impl Story {
    /// What happened, by key.
    pub(super) fn by_key(&self) -> BTreeMap<String, KeyStory> {
        let mut keys = BTreeMap::<String, KeyStory>::new();
        for (number, process) in self.processes.iter().enumerate() {
            for call in calls(number, &process.notes) {
                keys.entry(call.key.clone()).or_default().calls.push(call);
            }
            for (key, run) in runs(number, &process.entries) {
                keys.entry(key).or_default().runs.push(run);
            }
        }
        for story in keys.values_mut() {
            story.runs.sort_by_key(|run| run.start);
            story.calls.sort_by_key(|call| call.called);
        }
        keys
    }

    /// All that was written down about a key, in order, for people.
    pub fn tell(&self, key: &str) -> String {
        let mut lines = Vec::new();
        for (number, process) in self.processes.iter().enumerate() {
            let own: Vec<_> =
                calls(number, &process.notes).into_iter().filter(|call| call.key == key).collect();
            for note in &process.notes {
                let concerns = own.iter().any(|call| call.id == note.call);
                if concerns || matches!(note.what, What::StoodStill { .. }) {
                    lines.push((
                        note.at,
                        format!("process {number}: call {:x}: {:?}", note.call, note.what),
                    ));
                }
            }
            for entry in
                process.entries.iter().filter(|entry| entry.key == key || entry.key.is_empty())
            {
                let text =
                    format!("process {number}: run {}: {:?} {}", entry.run, entry.what, entry.note);
                lines.push((nanos(entry.at), text));
            }
            for stop in &process.stops {
                lines.push((stop.from, format!("process {number}: stopped")));
                lines.push((stop.to, format!("process {number}: continued")));
            }
        }
        for loss in &self.losses {
            lines.push((loss.from, "server: may lose something from here".to_owned()));
            lines.push((loss.to, "server: to here".to_owned()));
        }
        lines.sort();
        let begun = lines.first().map_or(0, |(at, _)| *at);
        lines.into_iter().fold(String::new(), |mut text, (at, line)| {
            let passed = Duration::from_nanos(at - begun);
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{:>10.3} ms  {line}", passed.as_secs_f64() * 1e3);
            text
        })
    }
}

fn nanos(at: u128) -> u64 {
    u64::try_from(at).unwrap_or(u64::MAX)
}

/// The calls that a process made.
fn calls(process: usize, notes: &[Note]) -> Vec<Call> {
    let mut calls = Vec::<Call>::new();
    let mut known = HashMap::<u64, usize>::new();
    for Note { at, call: id, what } in notes {
        if let What::Called { key, parks } = what {
            known.insert(*id, calls.len());
            calls.push(Call::new(*id, process, key.clone(), *parks, *at));
        }
        let Some(call) = known.get(id).and_then(|&place| calls.get_mut(place)) else { continue };
        match what {
            What::LeaseLost => call.lease_lost = call.lease_lost.or(Some(*at)),
            What::Answered(answer) => call.answered = Some((*at, answer.clone())),
            What::Called { .. }
            | What::Dropped
            | What::StoodStill { .. }
            | What::LeftBehind { .. } => {}
        }
    }
    calls
}

/// The executions in a process, with their keys.
fn runs(process: usize, entries: &[Entry]) -> Vec<(String, Run)> {
    let mut runs = Vec::<(String, Run)>::new();
    let mut open = HashMap::<u64, usize>::new();
    for entry in entries {
        let at = nanos(entry.at);
        match entry.what {
            ledger::What::Start => {
                open.insert(entry.run, runs.len());
                runs.push((entry.key.clone(), Run::new(process, at, &entry.note)));
            }
            ledger::What::Finish | ledger::What::Dropped => {
                if let Some(place) = open.remove(&entry.run) {
                    let run = &mut runs[place].1;
                    run.end = at;
                    run.finished = entry.what == ledger::What::Finish;
                    run.failed = run.finished && entry.note == FAILED;
                }
            }
            ledger::What::ProcessEnded => {
                for (_, place) in open.drain() {
                    runs[place].1.end = at;
                }
            }
            ledger::What::Once => {}
        }
    }
    runs
}
