//! A request meets the record.

use super::bugs::{Bug, misjudge, misread, mistake};
use super::real;
use super::rows::{Row, Rows};
use super::world::{End, Entry, Request, Stand, Verb};

/// What the storage answers, whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// With the fence, and whether the owner before died.
    Acquired(u8, bool),
    /// With what is left of the lease.
    InProgress(i8),
    /// With how it ended.
    Replay(End),
    /// This claim has parked it.
    Parked,
    /// Used for something else.
    Mismatch,
    /// Written.
    Done,
    /// No record, or one that was released.
    Gone,
    /// Somebody else is at work.
    TakenOver,
    /// It has ended otherwise.
    Ended(End),
}

/// What a claim brings along.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    /// Whether a takeover from it parks.
    pub park: bool,
    /// Whether it uses the key for the other thing.
    pub other_use: bool,
}

/// What a request makes of the record, and the answer.
pub fn meet(
    record: &mut Option<Entry>,
    request: Request,
    claim: Policy,
    bug: Option<Bug>,
    rows: &Rows,
) -> Answer {
    let before = *record;
    let asked = bug.map_or(request, |bug| misread(before.as_ref(), request, bug));
    let mut seen = before;
    let mut policy = claim;
    if let (Some(bug), Some(seen), Verb::Claim) = (bug, &mut seen, request.verb) {
        misjudge(seen, &mut policy, bug);
    }
    let answer = real::apply(&mut seen, asked, policy);
    *record = seen;
    let answer = match bug {
        Some(bug) => mistake(bug, before.as_ref(), record, request, answer),
        None => answer,
    };
    rows.meet(Row::of(before.as_ref(), request, answer));
    answer
}

/// A purge meets the record.
pub fn purge(record: &mut Option<Entry>, bug: Option<Bug>, rows: &Rows) {
    let Some(before) = *record else { return };
    let finished = matches!(before.state, Stand::Finished(_));
    *record = real::purge(before);
    match bug {
        Some(Bug::PurgeOfTheLiving) if !finished => *record = None,
        Some(Bug::PurgeOfTheFinished) if finished => *record = None,
        _ => {}
    }
    rows.meet(if record.is_some() { Row::PurgeKeeps } else { Row::PurgeRemoves });
}
