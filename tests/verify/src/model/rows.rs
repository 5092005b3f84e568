//! Which rows of the transition table were met.

use std::sync::atomic::{AtomicU32, Ordering};

use super::server::Answer;
use super::world::{End, Entry, Request, Stand, Verb};

/// A row of the transition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Row {
    /// Another fingerprint.
    Mismatch,
    /// A claim where there is nothing.
    First,
    /// A claim where retention is over.
    AfterRetention,
    /// A claim where the last owner released.
    AfterRelease,
    /// A claim by the owner.
    Again,
    /// A claim while the lease is live.
    InProgress,
    /// A takeover.
    Takeover,
    /// A takeover that parks.
    Park,
    /// The owner renews.
    Renew,
    /// The owner renews after its lease.
    RenewLate,
    /// The owner completes.
    Complete,
    /// The owner completes after its lease.
    CompleteLate,
    /// The owner of a parked record completes it.
    Heal,
    /// The same completion again.
    CompleteAgain,
    /// A write where another owner is at work.
    TakenOver,
    /// A write where it has ended otherwise.
    EndedOtherwise,
    /// A write where there is nothing.
    Gone,
    /// A write where its owner, or another, has released.
    Released,
    /// The owner releases.
    Release,
    /// The owner releases again.
    ReleaseAgain,
    /// A claim where it has ended with a value.
    ReplayValue,
    /// A claim where it has ended with a failure.
    ReplayFailure,
    /// A purge of what is live.
    PurgeKeeps,
    /// A purge of what is over.
    PurgeRemoves,
}

impl Row {
    /// All of them.
    pub const ALL: [Self; 24] = [
        Self::Mismatch,
        Self::First,
        Self::AfterRetention,
        Self::AfterRelease,
        Self::Again,
        Self::InProgress,
        Self::Takeover,
        Self::Park,
        Self::Renew,
        Self::RenewLate,
        Self::Complete,
        Self::CompleteLate,
        Self::Heal,
        Self::CompleteAgain,
        Self::TakenOver,
        Self::EndedOtherwise,
        Self::Gone,
        Self::Released,
        Self::Release,
        Self::ReleaseAgain,
        Self::ReplayValue,
        Self::ReplayFailure,
        Self::PurgeKeeps,
        Self::PurgeRemoves,
    ];

    pub(super) fn of(before: Option<&Entry>, request: Request, answer: Answer) -> Self {
        let late = matches!(before, Some(Entry { state: Stand::Processing { lease, .. }, .. }) if lease.is_over());
        let released = before
            .is_some_and(|before| before.state == Stand::Released && !before.expires.is_over());
        let again = before.is_some_and(|before| before.owner == request.call);
        match (request.verb, answer) {
            (_, Answer::Mismatch) => Self::Mismatch,
            (_, Answer::InProgress(_)) => Self::InProgress,
            (_, Answer::Replay(End::Value(_))) => Self::ReplayValue,
            (_, Answer::Parked) => Self::Park,
            (_, Answer::Replay(_)) => Self::ReplayFailure,
            (_, Answer::Acquired(..)) => match before {
                None => Self::First,
                Some(before) if before.expires.is_over() => Self::AfterRetention,
                Some(_) if released => Self::AfterRelease,
                Some(_) if again => Self::Again,
                Some(_) => Self::Takeover,
            },
            (_, Answer::Gone) if released => Self::Released,
            (_, Answer::Gone) => Self::Gone,
            (_, Answer::TakenOver) => Self::TakenOver,
            (_, Answer::Ended(_)) => Self::EndedOtherwise,
            (Verb::Release, Answer::Done) if released => Self::ReleaseAgain,
            (Verb::Release, Answer::Done) => Self::Release,
            (Verb::Renew, Answer::Done) if late => Self::RenewLate,
            (Verb::Renew, Answer::Done) => Self::Renew,
            (_, Answer::Done) => match before.map(|before| before.state) {
                Some(Stand::Finished(end)) if request.verb == Verb::Complete(end) => {
                    Self::CompleteAgain
                }
                Some(Stand::Finished(_)) => Self::Heal,
                _ if late => Self::CompleteLate,
                _ => Self::Complete,
            },
        }
    }
}

/// The rows that were met so far.
#[derive(Debug, Default)]
pub struct Rows(AtomicU32);

impl Rows {
    pub(super) fn meet(&self, row: Row) {
        let bit = 1 << row as u32;
        if self.0.load(Ordering::Relaxed) & bit == 0 {
            self.0.fetch_or(bit, Ordering::Relaxed);
        }
    }

    /// Those of [`Row::ALL`] that were not.
    pub fn missing(&self) -> Vec<Row> {
        let met = self.0.load(Ordering::Relaxed);
        Row::ALL.into_iter().filter(|row| met & (1 << *row as u32) == 0).collect()
    }
}
