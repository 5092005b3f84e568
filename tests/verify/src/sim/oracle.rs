//! What must hold, judged by what bodies did and what callers were told.

use idem_runtime::record::{Finish, Finished, OwnerId, Record, State, Timestamp};
use idem_runtime::{Error, ErrorKind, Outcome, Source};

use super::process::{Failed, Use};

/// How bodies of a key end, and what a crash means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// With a value; a crash is overcome.
    Value,
    /// With a value; a crash is parked.
    Parked,
    /// With an error that is recorded.
    Error,
    /// Every other time with an error that gives the key up.
    Busy,
}

impl Kind {
    /// What the key of this number is for.
    pub fn of(key: usize) -> Self {
        [Self::Value, Self::Parked, Self::Error, Self::Busy][key % 4]
    }
}

/// What callers were told of a key. It holds for ever: retention is longer than any simulation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    Value(u64),
    Error,
}

#[derive(Clone, Debug, Default)]
struct Told {
    promise: Option<Promise>,
    executions: u32,
    /// The fence of the last body that began.
    fence: u64,
    /// An end was not recorded, and its process said so: others in that process may have heard of it.
    unrecorded: bool,
}

/// What is known of each key.
#[derive(Debug)]
pub struct Oracle {
    keys: Vec<Told>,
    /// Until when leases cannot be judged, because the server's clock was set.
    doubtful_until: u64,
    /// What was broken first.
    pub broken: Option<String>,
}

impl Oracle {
    /// Nothing has been promised.
    pub fn new(keys: usize) -> Self {
        Self { keys: vec![Told::default(); keys], doubtful_until: 0, broken: None }
    }

    /// Remembers the first thing that is wrong.
    pub fn require(&mut self, holds: bool, broken: impl FnOnce() -> String) {
        if !holds && self.broken.is_none() {
            self.broken = Some(broken());
        }
    }

    /// The server's clock was set: leases that were given before are longer or shorter than they were said to be.
    pub fn clock_was_set(&mut self, doubtful_until: u64) {
        self.doubtful_until = doubtful_until;
    }

    /// A body begins: the key must be its own, and its lease live.
    pub fn begins(
        &mut self,
        key: usize,
        owner: OwnerId,
        record: Option<&Record>,
        (now, clock): (u64, Timestamp),
    ) {
        self.keys[key].executions += 1;
        let executions = self.keys[key].executions;
        self.require(Kind::of(key) != Kind::Parked || executions == 1, || {
            format!("G5: k{key} is parked by a crash and ran again")
        });
        let is_own = matches!(
            record,
            Some(Record { owner: theirs, state: State::Processing { lease_until, .. }, .. })
                if *theirs == owner && clock < *lease_until
        );
        self.require(is_own || now < self.doubtful_until, || {
            format!("G2: a body of k{key} began without a live lease: {record:?} at {clock:?}")
        });
        let before = self.keys[key].fence;
        if let Some(record) = record.filter(|_| is_own) {
            self.keys[key].fence = record.fence.get();
            self.require(record.fence.get() > before, || {
                format!("G3: the fence of k{key} went from {before} to {}", record.fence)
            });
        }
        let promise = self.keys[key].promise;
        self.require(promise.is_none(), || {
            format!("G1: k{key} ran again after callers were told {promise:?}")
        });
    }

    /// A process could not record how a call ended.
    pub fn unrecorded(&mut self, key: usize) {
        self.keys[key].unrecorded = true;
    }

    /// Whether a caller has been promised something about the key.
    pub fn has_promised(&self, key: usize) -> bool {
        self.keys[key].promise.is_some()
    }

    /// A caller is told how its call ended. Says whether that is final.
    pub fn told(
        &mut self,
        key: usize,
        used: Use,
        told: &Result<Outcome<u64>, Failed>,
        record: Option<&Record>,
    ) -> bool {
        match told {
            Err(Failed::Busy) => false,
            Err(Failed::Ours(error)) if error.is_retryable() => false,
            _ if used == Use::Other => {
                let mismatch =
                    matches!(told, Err(Failed::Ours(error)) if error.kind() == ErrorKind::Mismatch);
                self.require(mismatch, || format!("G7: another use of k{key} ended with {told:?}"));
                true
            }
            // Who ran the body gets its value or error, recorded or not.
            Ok(Outcome { source: Source::Unrecorded, .. }) | Err(Failed::Declined(_)) => true,
            Ok(Outcome { value, .. }) => {
                let recorded =
                    finish(record).is_some_and(|finish| value_of(finish) == Some(*value));
                if recorded || !self.keys[key].unrecorded {
                    self.require(recorded, || {
                        format!("G1: k{key} ended with {told:?}, but the record is {record:?}")
                    });
                    self.promise(key, Promise::Value(*value));
                }
                true
            }
            Err(Failed::Ours(error)) => {
                self.refused(key, error, record);
                true
            }
        }
    }

    fn refused(&mut self, key: usize, error: &Error, record: Option<&Record>) {
        let failed = matches!(finish(record), Some(Finish::Failed(_)));
        match (error.kind(), Kind::of(key)) {
            (ErrorKind::PreviouslyFailed, Kind::Error) => {
                if failed {
                    self.promise(key, Promise::Error);
                }
                let unrecorded = self.keys[key].unrecorded;
                self.require(failed || unrecorded, || {
                    format!("G4: k{key} is said to have failed, but the record is {record:?}")
                });
            }
            (ErrorKind::Indeterminate, Kind::Parked) => {}
            _ => self.require(false, || format!("k{key} ended with {error:?}")),
        }
    }

    fn promise(&mut self, key: usize, promise: Promise) {
        let before = self.keys[key].promise.replace(promise);
        self.require(before.is_none_or(|before| before == promise), || {
            format!("G1: callers of k{key} were told {before:?} and {promise:?}")
        });
    }
}

fn finish(record: Option<&Record>) -> Option<&Finish> {
    match record {
        Some(Record { state: State::Finished(Finished { finish, .. }), .. }) => Some(finish),
        _ => None,
    }
}

fn value_of(finish: &Finish) -> Option<u64> {
    match finish {
        Finish::Completed(payload) => std::str::from_utf8(&payload.bytes).ok()?.parse().ok(),
        Finish::Failed(_) => None,
    }
}
