//! How a case complains. Cases return their complaint instead of panicking, so that one report shows all of them.

use std::fmt::Debug;
use std::time::Duration;

use crate::error::Error;
use crate::record::{Record, State, Timestamp, millis};
use crate::storage::StorageError;

/// What a case says in the end.
pub(in crate::testing::conformance) type Verdict<T = ()> = Result<T, Complaint>;

/// Why a case did not pass.
#[derive(Debug)]
pub(in crate::testing::conformance) enum Complaint {
    Violated(String),
    Unsupported(&'static str),
}

impl From<StorageError> for Complaint {
    fn from(error: StorageError) -> Self {
        Self::Violated(format!("a call failed, {:?}: {error}", error.kind()))
    }
}

impl From<Error> for Complaint {
    fn from(error: Error) -> Self {
        Self::Violated(format!("the suite cannot make its key: {error}"))
    }
}

/// How far two readings of one deadline may lie apart, for a storage that computes deadlines from the time left.
const READING: Duration = Duration::from_millis(100);

pub(in crate::testing::conformance) fn ensure(
    holds: bool,
    what: impl FnOnce() -> String,
) -> Verdict {
    if holds { Ok(()) } else { Err(Complaint::Violated(what())) }
}

/// `actual` is `expected`.
#[track_caller]
pub(in crate::testing::conformance) fn same<T: PartialEq + Debug>(
    what: &str,
    actual: &T,
    expected: &T,
) -> Verdict {
    let place = std::panic::Location::caller();
    ensure(actual == expected, || {
        format!("{what}: {} instead of {} (line {})", brief(actual), brief(expected), place.line())
    })
}

/// `actual` lies between the two, but for the tolerance of a reading.
pub(in crate::testing::conformance) fn between(
    what: &str,
    actual: Timestamp,
    (first, last): (Timestamp, Timestamp),
) -> Verdict {
    ensure(first <= actual.after(READING) && actual <= last.after(READING), || {
        format!("{what}: {actual:?} is not between {first:?} and {last:?}")
    })
}

/// Nothing changed: the same record, or still none.
pub(in crate::testing::conformance) fn unchanged(
    before: Option<&Record>,
    after: Option<&Record>,
) -> Verdict {
    let holds = match (before, after) {
        (None, None) => true,
        (Some(before), Some(after)) => {
            let fields = |record: &Record| (record.fingerprint, record.owner, record.fence);
            fields(before) == fields(after)
                && close(before.expires_at, after.expires_at)
                && same_state(&before.state, &after.state)
        }
        _ => false,
    };
    ensure(holds, || format!("the record changed from {} to {}", brief(&before), brief(&after)))
}

fn same_state(before: &State, after: &State) -> bool {
    match (before, after) {
        (
            State::Processing { lease_until: until1, .. },
            State::Processing { lease_until: until2, lease, ttl, on_crash, recovered },
        ) => {
            let (lease, ttl, on_crash, recovered) = (*lease, *ttl, *on_crash, *recovered);
            let after = State::Processing { lease, ttl, on_crash, recovered, lease_until: *until1 };
            close(*until1, *until2) && *before == after
        }
        (before, after) => before == after,
    }
}

fn close(left: Timestamp, right: Timestamp) -> bool {
    left.as_millis().abs_diff(right.as_millis()) <= millis(READING)
}

/// A value for a message: what is longer than a screen helps nobody.
fn brief(value: &impl Debug) -> String {
    let text = format!("{value:?}");
    match text.char_indices().nth(600) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
