//! Checks of the cases. A failed check is a [`Complaint`], not a panic, so that one report shows
//! all of them.

use std::fmt::Debug;
use std::time::Duration;

use crate::error::Error;
use crate::key::RecordKey;
use crate::record::{Record, State, Timestamp, millis};
use crate::storage::StorageError;

/// The result of a case.
pub(in crate::testing::conformance) type Verdict<T = ()> = Result<T, Complaint>;

/// Why a case did not pass.
#[derive(Debug)]
pub(in crate::testing::conformance) enum Complaint {
    Violated(String),
    Unsupported(&'static str),
}

impl From<StorageError> for Complaint {
    fn from(error: StorageError) -> Self {
        Self::Violated(format!("a call failed with {:?}: {error}", error.kind()))
    }
}

impl From<Error> for Complaint {
    fn from(error: Error) -> Self {
        Self::Violated(format!("the suite cannot make its key: {error}"))
    }
}

pub(in crate::testing::conformance) fn ensure(
    holds: bool,
    what: impl FnOnce() -> String,
) -> Verdict {
    if holds { Ok(()) } else { Err(Complaint::Violated(what())) }
}

/// Checks that `actual` equals `expected`.
#[track_caller]
pub(in crate::testing::conformance) fn same<T: PartialEq + Debug>(
    what: &str,
    actual: &T,
    expected: &T,
) -> Verdict {
    let place = std::panic::Location::caller();
    ensure(actual == expected, || {
        format!("{what} is {}, expected {} (line {})", brief(actual), brief(expected), place.line())
    })
}

/// Checks that `actual` lies between the two, within `tolerance`.
pub(in crate::testing::conformance) fn between(
    what: &str,
    actual: Timestamp,
    (first, last): (Timestamp, Timestamp),
    tolerance: Duration,
) -> Verdict {
    ensure(first <= actual.after(tolerance) && actual <= last.after(tolerance), || {
        let (early, late) = (first.left_at(actual), actual.left_at(last));
        let by = if early.is_zero() {
            format!("{late:?} too late")
        } else {
            format!("{early:?} too early")
        };
        format!("{what} is {}, {by}", actual.as_millis())
    })
}

/// Checks that nothing changed: the same record, or still none. Readings of its deadlines may
/// differ by `tolerance`.
pub(in crate::testing::conformance) fn unchanged(
    key: &RecordKey,
    before: Option<&Record>,
    after: Option<&Record>,
    tolerance: Duration,
) -> Verdict {
    let differences = match (before, after) {
        (None, None) => return Ok(()),
        (Some(before), Some(after)) => differences(before, after, tolerance),
        (Some(before), None) => vec![format!("it was {}, and is now missing", brief(before))],
        (None, Some(after)) => vec![format!("it was missing, and is now {}", brief(after))],
    };
    ensure(differences.is_empty(), || {
        format!("the record of {key:?} changed: {}", differences.join("; "))
    })
}

/// The differences between two records.
fn differences(before: &Record, after: &Record, tolerance: Duration) -> Vec<String> {
    let mut found = Differences { tolerance, found: Vec::new() };
    found.look("fingerprint", &before.fingerprint, &after.fingerprint);
    found.look("owner", &before.owner, &after.owner);
    found.look("fence", &before.fence, &after.fence);
    found.deadline("expires_at", before.expires_at, after.expires_at);
    match (&before.state, &after.state) {
        (
            State::Processing { lease, lease_until, ttl, on_crash, recovered },
            State::Processing {
                lease: lease2,
                lease_until: until2,
                ttl: ttl2,
                on_crash: on_crash2,
                recovered: recovered2,
            },
        ) => {
            found.look("lease", lease, lease2);
            found.look("ttl", ttl, ttl2);
            found.look("on_crash", on_crash, on_crash2);
            found.look("recovered", recovered, recovered2);
            found.deadline("lease_until", *lease_until, *until2);
        }
        (before, after) => found.look("state", before, after),
    }
    found.found
}

struct Differences {
    tolerance: Duration,
    found: Vec<String>,
}

impl Differences {
    fn look<T: PartialEq + Debug>(&mut self, what: &str, before: &T, after: &T) {
        if before != after {
            self.found.push(format!("{what} was {}, and is now {}", brief(before), brief(after)));
        }
    }

    fn deadline(&mut self, what: &str, before: Timestamp, after: Timestamp) {
        let (before, after) = (before.as_millis(), after.as_millis());
        let apart = before.abs_diff(after);
        if apart > millis(self.tolerance) {
            let way = if before < after { "later" } else { "earlier" };
            self.found.push(format!("{what} was {before}, and is {apart} ms {way}"));
        }
    }
}

/// A value for a message, cut to about a screen.
pub(in crate::testing::conformance) fn brief(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
