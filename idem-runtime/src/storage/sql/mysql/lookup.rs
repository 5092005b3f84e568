//! The row of a verb's key, and what the verb does next.

use sqlx::mysql::MySqlRow;

use super::super::answers::Answer;
use super::super::row::{Found, corrupt, get, read, settle, timestamp};
use super::super::statement_error::StatementError;
use super::super::verb::Verb;
use crate::record::{CrashPolicy, Failure, Fence, Finish, OwnerId, Record, State, Timestamp};
use crate::storage::{Claim, Claimed, StorageError};

/// The row found under a verb's key.
pub(super) struct Lookup {
    pub(super) now: Timestamp,
    /// `None`: no row. The record is none where its retention is over.
    pub(super) row: Option<Found>,
}

impl Lookup {
    /// The record, if one can be read.
    pub(super) fn record(&self) -> Option<&Record> {
        self.row.as_ref()?.as_ref().ok()?.as_ref()
    }

    /// Whether it can be said who took over from an owner: this one, another, or nobody yet.
    pub(super) fn tells_who_took(&self, from: Ownership, owner: OwnerId) -> bool {
        self.record().is_some_and(|record| {
            let is_another = record.owner != owner && record.fence == from.fence.next();
            is_at_work(record, owner) || is_another || Ownership::of(record) == from
        })
    }

    /// Whether it can be said that the operation was parked, or that nobody has done so.
    pub(super) fn tells_whether_parked(&self) -> bool {
        self.record().is_some_and(|record| match &record.state {
            State::Processing { .. } | State::Released => true,
            State::Finished(finished) => finished.finish == PARKED,
        })
    }

    pub(super) fn settle<V: Verb>(self, verb: &V) -> Answer<V::Reply> {
        settle(self.row.unwrap_or(Ok(None)), verb, self.now)
    }

    /// What a claim does after this look.
    pub(super) fn path(self, claim: &Claim) -> ClaimPath {
        let is_expired = matches!(self.row, Some(Ok(None)));
        if is_expired || self.row.is_none() {
            return ClaimPath::Insert { is_expired };
        }
        let (now, terms) = (self.now, self.record().and_then(terms));
        match self.settle(claim) {
            Answer::Settled(answer) => ClaimPath::Answered(answer),
            Answer::Stale | Answer::Together(_) | Answer::Individually => match terms {
                Some(Terms::Follow(before)) => ClaimPath::TakeOver(before),
                Some(Terms::Park) => ClaimPath::Park(now),
                None => ClaimPath::Answered(Err(corrupt())),
            },
        }
    }
}

/// What a claim does about the row that it has seen.
pub(super) enum ClaimPath {
    /// Nothing: this is the answer.
    Answered(Result<Claimed, StorageError>),
    /// There is no row, or one that counts as none.
    Insert { is_expired: bool },
    /// The lease of this owner is over, or it has released the key.
    TakeOver(Predecessor),
    /// The lease was over by this moment, and nobody is to follow its owner.
    Park(Timestamp),
}

/// The current or last owner of a key. A fence starts again where the record expired in between.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Ownership {
    owner: OwnerId,
    pub(super) fence: Fence,
}

impl Ownership {
    fn of(record: &Record) -> Self {
        Self { owner: record.owner, fence: record.fence }
    }
}

/// The owner that a claim takes over from.
#[derive(Clone, Copy)]
pub(super) struct Predecessor {
    pub(super) held: Ownership,
    /// Its lease was over, and it had not released the key.
    pub(super) has_died: bool,
}

/// The outcome of a parked operation.
pub(super) const PARKED: Finish = Finish::Failed(Failure::Indeterminate);

/// What the rows show of so many verbs: `number, now, columns of the row`.
pub(super) fn lookups(rows: &[MySqlRow], verbs: usize) -> Result<Vec<Lookup>, StatementError> {
    let absent = || Lookup { now: Timestamp::from_millis(0), row: None };
    let mut seen: Vec<_> = std::iter::repeat_with(absent).take(verbs).collect();
    for row in rows {
        let number: i64 = get(row, 0).map_err(StatementError::unreadable)?;
        let now = timestamp(get(row, 1).map_err(StatementError::unreadable)?);
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        if let Some(slot) = seen.get_mut(index) {
            *slot = Lookup { now, row: Some(read(row, 2, now)) };
        }
    }
    Ok(seen)
}

/// What a claim does about a record that it may write to.
enum Terms {
    Follow(Predecessor),
    Park,
}

fn terms(record: &Record) -> Option<Terms> {
    let held = Ownership::of(record);
    match record.state {
        State::Processing { on_crash: CrashPolicy::Retry, .. } => {
            Some(Terms::Follow(Predecessor { held, has_died: true }))
        }
        State::Processing { on_crash: CrashPolicy::Park, .. } => Some(Terms::Park),
        State::Released => Some(Terms::Follow(Predecessor { held, has_died: false })),
        State::Finished(_) => None,
    }
}

fn is_at_work(record: &Record, owner: OwnerId) -> bool {
    record.owner == owner && matches!(record.state, State::Processing { .. })
}
