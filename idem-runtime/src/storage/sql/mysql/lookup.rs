//! The row of a verb's key, and the verb's next step.

use sqlx::mysql::MySqlRow;

use super::super::answers::VerbAnswer;
use super::super::row::{FoundRecord, corrupt, numbered, settle};
use super::super::statement_error::StatementError;
use super::super::verb::KeyedVerb;
use crate::record::{
    CrashPolicy, Failure, Fence, Finish, OwnerId, Record, State, Status, Timestamp,
};
use crate::storage::{Claim, Claimed, StorageError};

/// The row found under a verb's key.
pub(super) struct Lookup {
    pub(super) now: Timestamp,
    /// `None`: no row. The record is none where its retention is over.
    pub(super) row: Option<FoundRecord>,
}

impl Lookup {
    /// The record, if one can be read.
    pub(super) fn record(&self) -> Option<&Record> {
        self.row.as_ref()?.as_ref().ok()?.as_ref()
    }

    /// Whether the row shows who took over from an owner: this one, another, or no claim yet.
    pub(super) fn tells_who_took(&self, from: Ownership, owner: OwnerId) -> bool {
        self.record().is_some_and(|record| {
            let is_another = record.owner != owner && record.fence == from.fence.next();
            let is_at_work = record.owner == owner && record.status() == Status::Processing;
            is_at_work || is_another || Ownership::of(record) == from
        })
    }

    /// Whether the row shows if the operation was parked.
    pub(super) fn tells_whether_parked(&self) -> bool {
        self.record().is_some_and(|record| match &record.state {
            State::Processing { .. } | State::Released => true,
            State::Finished(finished) => finished.finish == PARKED,
        })
    }

    pub(super) fn settle<V: KeyedVerb>(self, verb: &V) -> VerbAnswer<V::Reply> {
        settle(self.row.unwrap_or(Ok(None)), verb, self.now)
    }

    /// The claim's next step.
    pub(super) fn path(self, claim: &Claim) -> ClaimPath {
        let is_expired = matches!(self.row, Some(Ok(None)));
        if is_expired || self.row.is_none() {
            return ClaimPath::Insert { is_expired };
        }
        let write = self.record().and_then(|record| write_path(record, self.now));
        match self.settle(claim) {
            VerbAnswer::Settled(answer) => ClaimPath::Answered(answer),
            VerbAnswer::Stale | VerbAnswer::Together(_) | VerbAnswer::Individually => {
                write.unwrap_or_else(|| ClaimPath::Answered(Err(corrupt())))
            }
        }
    }
}

/// The next step of a claim that has read its row.
pub(super) enum ClaimPath {
    /// Nothing: this is the answer.
    Answered(Result<Claimed, StorageError>),
    /// There is no row, or one that counts as none.
    Insert { is_expired: bool },
    /// The lease of this owner is over, or it has released the key.
    TakeOver(Predecessor),
    /// The lease was over by this moment, and the crash policy is to park.
    Park(Timestamp),
}

/// The current or last owner of a key. The fence starts again after the record expires.
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

/// One lookup for each verb, from rows of `number, now` and the columns of the record.
pub(super) fn lookups(rows: &[MySqlRow], verbs: usize) -> Result<Vec<Lookup>, StatementError> {
    let absent = || Lookup { now: Timestamp::from_millis(0), row: None };
    let mut seen: Vec<_> = std::iter::repeat_with(absent).take(verbs).collect();
    for row in rows {
        let (at, now, found) = numbered(row)?;
        if let Some(slot) = seen.get_mut(at) {
            *slot = Lookup { now, row: Some(found) };
        }
    }
    Ok(seen)
}

/// The next step of a claim at `now` that may change the record.
fn write_path(record: &Record, now: Timestamp) -> Option<ClaimPath> {
    let held = Ownership::of(record);
    let take_over = |has_died| Some(ClaimPath::TakeOver(Predecessor { held, has_died }));
    match record.state {
        State::Processing { on_crash: CrashPolicy::Retry, .. } => take_over(true),
        State::Processing { on_crash: CrashPolicy::Park, .. } => Some(ClaimPath::Park(now)),
        State::Released => take_over(false),
        State::Finished(_) => None,
    }
}
