//! Mistakes that a storage or a caller could make, each put in the place of the right thing to see it found.

use super::server::{Answer, Policy};
use super::world::{End, Entry, LEASE, Moment, RETENTION, Request, Stand, Verb};

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Whoever completes is believed to own the record.
    CompleteByAnybody,
    /// Whoever releases is believed to own the record.
    ReleaseByAnybody,
    /// Whoever renews is believed to own the record.
    RenewByAnybody,
    /// A completion writes although the record has gone.
    CompleteResurrects,
    /// A renewal makes a record that has gone again.
    RenewResurrects,
    /// A completion overwrites an end that was recorded before.
    CompleteTwice,
    /// A record that is being worked on is kept as long as its lease only.
    RetentionOfTheLease,
    /// A lease is as long as the retention, and does not end before.
    LeaseWithoutEnd,
    /// A takeover keeps the fence.
    TakeoverWithoutFence,
    /// A takeover one tick before the lease is over.
    TakeoverTooEarly,
    /// A takeover runs what should be parked.
    TakeoverRunsParked,
    /// The fingerprint is looked at where somebody is at work, and not where the call has ended.
    MismatchAfterStatus,
    /// A claim that is asked again is told that somebody is at work.
    ClaimForgetsItsOwner,
    /// A claim that is asked again raises the fence.
    ClaimAgainIsAnotherOwner,
    /// A completion that is asked again is told that its lease is lost.
    CompleteForgetsItsOwner,
    /// A purge takes what is being worked on.
    PurgeOfTheLiving,
    /// A purge takes what has ended, before its retention is over.
    PurgeOfTheFinished,
    /// A replay gives the end of whoever asks last.
    ReplayOfAnother,
    /// A release forgets the fence with the record.
    ReleaseForgetsTheFence,
    /// A release that is asked again is told that its lease is lost.
    ReleaseForgetsItsOwner,
    /// A heartbeat that comes late brings back what its owner has released.
    RenewAfterRelease,
    /// Whoever has a key after a release is told that the owner before died.
    ReleaseIsACrash,
    /// A claim that is asked again does not say any more that the owner before died.
    ClaimAgainForgetsTheCrash,
    /// A parked record is kept as long as an end.
    ParkedExpires,
    /// A record that is to be parked is kept as long as another.
    DeadExpiresUnparked,
    /// A caller whose answer came late begins all the same.
    LateStart,
    /// A caller that hears nothing begins all the same.
    StartUnheard,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 27] = [
        Self::CompleteByAnybody,
        Self::ReleaseByAnybody,
        Self::RenewByAnybody,
        Self::CompleteResurrects,
        Self::RenewResurrects,
        Self::CompleteTwice,
        Self::RetentionOfTheLease,
        Self::LeaseWithoutEnd,
        Self::TakeoverWithoutFence,
        Self::TakeoverTooEarly,
        Self::TakeoverRunsParked,
        Self::MismatchAfterStatus,
        Self::ClaimForgetsItsOwner,
        Self::ClaimAgainIsAnotherOwner,
        Self::CompleteForgetsItsOwner,
        Self::PurgeOfTheLiving,
        Self::PurgeOfTheFinished,
        Self::ReplayOfAnother,
        Self::ReleaseForgetsTheFence,
        Self::ReleaseForgetsItsOwner,
        Self::RenewAfterRelease,
        Self::ReleaseIsACrash,
        Self::ClaimAgainForgetsTheCrash,
        Self::ParkedExpires,
        Self::DeadExpiresUnparked,
        Self::LateStart,
        Self::StartUnheard,
    ];
}

/// The request as a storage with this bug understands it.
pub(super) fn misread(before: Option<&Entry>, request: Request, bug: Bug) -> Request {
    let owner = before.map_or(request.call, |before| before.owner);
    let believed = match (bug, request.verb) {
        (Bug::CompleteByAnybody, Verb::Complete(_))
        | (Bug::ReleaseByAnybody, Verb::Release)
        | (Bug::RenewByAnybody, Verb::Renew) => owner,
        _ => request.call,
    };
    Request { call: believed, ..request }
}

/// The record as a storage with this bug sees it at a claim.
pub(super) fn misjudge(seen: &mut Entry, claim: &mut Policy, bug: Bug) {
    match (bug, &mut seen.state) {
        (Bug::TakeoverTooEarly, Stand::Processing { lease, .. }) if lease.left() == 1 => {
            *lease = Moment::after(0);
        }
        (Bug::TakeoverRunsParked, Stand::Processing { park, .. }) => *park = false,
        (Bug::MismatchAfterStatus, Stand::Finished(_)) => claim.other_use = seen.other_use,
        _ => {}
    }
}

/// The record and the answer as a storage with this bug gives them.
pub(super) fn mistake(
    bug: Bug,
    before: Option<&Entry>,
    record: &mut Option<Entry>,
    request: Request,
    answer: Answer,
) -> Answer {
    match (bug, request.verb, answer) {
        (Bug::CompleteResurrects, Verb::Complete(end), Answer::Gone) => {
            *record = Some(Entry {
                owner: request.call,
                fence: 1,
                other_use: false,
                state: Stand::Finished(end),
                expires: Moment::after(RETENTION),
            });
            Answer::Done
        }
        (Bug::RenewResurrects, Verb::Renew, Answer::Gone) => {
            *record = Some(Entry {
                owner: request.call,
                fence: 1,
                other_use: false,
                state: Stand::Processing {
                    lease: Moment::after(LEASE),
                    park: false,
                    recovered: false,
                },
                expires: Moment::after(LEASE + RETENTION),
            });
            Answer::Done
        }
        (Bug::CompleteTwice, Verb::Complete(end), Answer::Ended(_)) => {
            if let Some(record) = record {
                record.state = Stand::Finished(end);
            }
            Answer::Done
        }
        (Bug::RetentionOfTheLease, Verb::Claim, Answer::Acquired(..)) => {
            if let Some(record) = record {
                record.expires = Moment::after(LEASE);
            }
            answer
        }
        (Bug::LeaseWithoutEnd, Verb::Claim, Answer::Acquired(..)) => {
            if let Some(Entry { state: Stand::Processing { lease, .. }, expires, .. }) = record {
                *lease = *expires;
            }
            answer
        }
        (Bug::TakeoverWithoutFence, Verb::Claim, Answer::Acquired(fence, recovered))
            if fence > 1 =>
        {
            let fence = before.map_or(fence, |before| before.fence);
            if let Some(record) = record {
                record.fence = fence;
            }
            Answer::Acquired(fence, recovered)
        }
        (Bug::ClaimForgetsItsOwner, Verb::Claim, Answer::Acquired(..)) => match before {
            Some(Entry { owner, state: Stand::Processing { lease, .. }, .. })
                if *owner == request.call && !lease.is_over() =>
            {
                Answer::InProgress(lease.left())
            }
            _ => answer,
        },
        (Bug::ClaimAgainIsAnotherOwner, Verb::Claim, Answer::Acquired(fence, recovered)) => {
            match (before, record) {
                (Some(before), Some(record))
                    if before.owner == request.call && before.fence == fence =>
                {
                    record.fence = fence + 1;
                    Answer::Acquired(fence + 1, recovered)
                }
                _ => answer,
            }
        }
        (Bug::CompleteForgetsItsOwner, Verb::Complete(_), Answer::Done) => match before {
            Some(Entry { state: Stand::Finished(end), .. }) => Answer::Ended(*end),
            _ => answer,
        },
        (Bug::ReplayOfAnother, Verb::Claim, Answer::Replay(End::Value(_))) => {
            Answer::Replay(End::Value(request.call))
        }
        _ => mistake_of_retention(bug, before, record, request, answer),
    }
}

/// Those that are about what is kept, and how long: after a release, and of a crash.
fn mistake_of_retention(
    bug: Bug,
    before: Option<&Entry>,
    record: &mut Option<Entry>,
    request: Request,
    answer: Answer,
) -> Answer {
    match (bug, request.verb, answer) {
        (Bug::ReleaseForgetsTheFence, Verb::Release, Answer::Done) => {
            *record = None;
            answer
        }
        (Bug::ReleaseForgetsItsOwner, Verb::Release, Answer::Done)
            if before.is_some_and(|before| before.state == Stand::Released) =>
        {
            Answer::Gone
        }
        (Bug::RenewAfterRelease, Verb::Renew, Answer::Gone) => match record {
            Some(record) if record.owner == request.call => {
                let lease = Moment::after(LEASE);
                record.state = Stand::Processing { lease, park: false, recovered: false };
                record.expires = Moment::after(LEASE + RETENTION);
                Answer::Done
            }
            _ => answer,
        },
        (Bug::ReleaseIsACrash, Verb::Claim, Answer::Acquired(fence, _)) => {
            if let Some(Entry { state: Stand::Processing { recovered, .. }, .. }) = record {
                *recovered = fence > 1;
            }
            Answer::Acquired(fence, fence > 1)
        }
        (Bug::ClaimAgainForgetsTheCrash, Verb::Claim, Answer::Acquired(fence, true))
            if before.is_some_and(|before| before.fence == fence) =>
        {
            Answer::Acquired(fence, false)
        }
        (Bug::ParkedExpires, ..) => {
            if let Some(record) = record
                && record.state == Stand::Finished(End::Indeterminate)
                && record.expires == Moment::NEVER
            {
                record.expires = Moment::after(RETENTION);
            }
            answer
        }
        (Bug::DeadExpiresUnparked, Verb::Claim, Answer::Acquired(..))
        | (Bug::DeadExpiresUnparked, Verb::Renew, Answer::Done) => {
            if let Some(record) = record
                && record.expires == Moment::NEVER
            {
                record.expires = Moment::after(LEASE + RETENTION);
            }
            answer
        }
        _ => answer,
    }
}
