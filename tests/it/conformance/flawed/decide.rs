//! The transitions, right but for the flaw.

use std::time::Duration;

use idem_runtime::codec::{Codec, Json};
use idem_runtime::fingerprint::Fingerprinter;
use idem_runtime::record::{
    CrashPolicy, Failure, Fence, Finish, Finished, OwnerId, Payload, Record, State, Status,
    Timestamp,
};
use idem_runtime::storage::transition::step;
use idem_runtime::storage::{Claim, Claimed, Complete, Lost, Release, Renew, Written};

use super::flaw::Flaw;

/// What becomes of a record, and the answer.
pub(super) type Decision<T> = (Option<Record>, T);

fn is_over(record: &Record, now: Timestamp) -> bool {
    matches!(record.state, State::Processing { lease_until, .. } if lease_until <= now)
}

fn is_indeterminate(record: &Record) -> bool {
    record.is_parked()
}

pub(super) fn claim(
    flaw: Flaw,
    record: Option<Record>,
    claim: &Claim,
    now: Timestamp,
) -> Decision<Claimed> {
    let mut claim = claim.clone();
    claim.lease = stored(flaw, claim.lease);
    claim.ttl = stored(flaw, claim.ttl);
    let Some(mut before) = record else {
        let (record, answer) = step(None, &claim, now);
        return first(flaw, record, answer, &claim, now);
    };
    claim.owner = taken_for(flaw, claim.owner, before.owner);
    let shown = before.clone();
    if before.owner != claim.owner {
        shift_lease(flaw, &mut before);
    }
    let owner = before.owner == claim.owner;
    let over = is_over(&before, now);
    if is_blind(flaw, &before, &claim, over) {
        claim.fingerprint = before.fingerprint;
    }
    if claim.fingerprint != before.fingerprint {
        return step(Some(before), &claim, now);
    }
    let original = before.clone();
    match (flaw, &mut before.state) {
        (Flaw::SecondClaimIsInProgress, State::Processing { lease, .. }) if owner => {
            let lease_left = *lease;
            return (Some(before), Claimed::InProgress { lease_left });
        }
        (Flaw::SecondClaimExtendsTheLease, State::Processing { lease_until, .. }) if owner => {
            *lease_until = now.after(claim.lease);
        }
        (Flaw::SecondClaimAfterTheLeaseTakesOver, State::Processing { .. }) if owner && over => {
            before.owner = OwnerId::from_bytes([0; 16]);
        }
        (Flaw::TakeoverBeforeTheLeaseIsOver, State::Processing { lease_until, .. }) if !owner => {
            *lease_until = now;
        }
        (Flaw::NoTakeover, State::Processing { lease_until, .. }) if over => {
            *lease_until = now.after(Duration::from_millis(1));
        }
        (Flaw::PolicyOfTheClaimer, State::Processing { on_crash, .. }) => {
            *on_crash = claim.on_crash;
        }
        (Flaw::ReplayExtendsRetention, State::Finished(_)) => {
            before.expires_at = now.after(claim.ttl);
        }
        (Flaw::ReplayNotForTheOwner, State::Finished(_)) if owner => {
            let fence = before.fence;
            return (Some(before), Claimed::Acquired { fence, recovered: false });
        }
        _ => {}
    }
    let (mut record, mut answer) = step(Some(before), &claim, now);
    if let Claimed::InProgress { lease_left } = &mut answer {
        match flaw {
            Flaw::LeaseLeftIsTheWholeLease => *lease_left = claim.lease,
            Flaw::LeaseLeftMayBeZero => *lease_left = Duration::ZERO,
            Flaw::LeaseLeftIsATwentieth => *lease_left /= 20,
            // What is shown is right; what is decided is not.
            Flaw::LeaseEndsEarly(_) | Flaw::LeaseEndsLate(_) => {
                if let State::Processing { lease_until, .. } = shown.state {
                    *lease_left = lease_until.left_at(now).max(Duration::from_millis(1));
                }
                return (Some(shown), answer);
            }
            _ => {}
        }
    }
    if let Some(record) = &mut record
        && over
        && record.owner != original.owner
    {
        taken_over(flaw, record, &mut answer, &original);
    }
    if let (Flaw::ParkNamesTheFinder, Some(record), true) = (flaw, &mut record, over) {
        record.owner = claim.owner;
    }
    if let (Some(record), State::Released) = (&mut record, &original.state) {
        after_release(flaw, record, &mut answer, &original);
    }
    match (flaw, &mut record, answer) {
        (Flaw::ParkingIsNotTold, _, Claimed::Parked(end)) => (record, Claimed::Replay(end)),
        (Flaw::ParkingIsToldToAll, _, Claimed::Replay(end)) if is_indeterminate(&original) => {
            (record, Claimed::Parked(end))
        }
        (Flaw::ParkedExpires, Some(after), answer @ Claimed::Parked(_)) => {
            after.expires_at = now.after(ttl_of(&original));
            (record, answer)
        }
        (
            Flaw::SecondClaimForgetsTheCrash,
            Some(after),
            Claimed::Acquired { fence, recovered: true },
        ) if original.owner == after.owner => {
            (record, Claimed::Acquired { fence, recovered: false })
        }
        (_, _, answer) => (record, answer),
    }
}

/// Moves the end of a lease, for the decision alone.
fn shift_lease(flaw: Flaw, record: &mut Record) {
    let State::Processing { lease_until, .. } = &mut record.state else { return };
    let until = lease_until.as_millis();
    *lease_until = Timestamp::from_millis(match flaw {
        Flaw::LeaseEndsEarly(by) => until - by,
        Flaw::LeaseEndsLate(by) => until.saturating_add(by),
        _ => until,
    });
}

/// Whether a claim's fingerprint is not looked at, or not to its end.
fn is_blind(flaw: Flaw, before: &Record, claim: &Claim, over: bool) -> bool {
    let owner = before.owner == claim.owner;
    let finished = matches!(before.state, State::Finished(_));
    match flaw {
        Flaw::FingerprintsByHalf => {
            before.fingerprint.as_bytes()[..17] == claim.fingerprint.as_bytes()[..17]
        }
        Flaw::StatusBeforeFingerprint => finished,
        Flaw::FailureBeforeFingerprint => {
            finished && !is_indeterminate(before) && before.status() == Status::Failed
        }
        Flaw::ParkBeforeFingerprint => is_indeterminate(before),
        Flaw::LeaseBeforeFingerprint => before.status() == Status::Processing && !over,
        Flaw::TakeoverBeforeFingerprint => over,
        Flaw::OwnerBeforeFingerprint => owner,
        Flaw::ReleaseBeforeFingerprint => before.state == State::Released,
        _ => false,
    }
}

fn ttl_of(record: &Record) -> Duration {
    match record.state {
        State::Processing { ttl, .. } => ttl,
        _ => Duration::ZERO,
    }
}

/// The next owner after a release.
fn after_release(flaw: Flaw, record: &mut Record, answer: &mut Claimed, before: &Record) {
    let State::Processing { recovered, .. } = &mut record.state else { return };
    match flaw {
        Flaw::FenceStaysAfterARelease => record.fence = before.fence,
        Flaw::ReleaseIsACrash => *recovered = true,
        _ => return,
    }
    *answer = Claimed::Acquired { fence: record.fence, recovered: *recovered };
}

fn first(
    flaw: Flaw,
    record: Option<Record>,
    answer: Claimed,
    claim: &Claim,
    now: Timestamp,
) -> Decision<Claimed> {
    let Some(mut record) = record else { return (None, answer) };
    match flaw {
        Flaw::FirstFenceIsZero => {
            record.fence = Fence::new(0);
            let fence = record.fence;
            return (Some(record), Claimed::Acquired { fence, recovered: false });
        }
        Flaw::ProcessingIsKeptForTheLeaseOnly => record.expires_at = now.after(claim.lease),
        Flaw::ProcessingIsKeptForTheTtlOnly => record.expires_at = now.after(claim.ttl),
        Flaw::DeadExpiresUnparked => record.expires_at = now.after(claim.lease).after(claim.ttl),
        _ => {}
    }
    (Some(record), answer)
}

fn taken_over(flaw: Flaw, record: &mut Record, answer: &mut Claimed, dead: &Record) {
    match flaw {
        Flaw::TakeoverKeepsTheFence => {
            record.fence = dead.fence;
            *answer = Claimed::Acquired { fence: dead.fence, recovered: true };
        }
        Flaw::TakeoverKeepsTheTermsOfTheDead => {
            record.state = dead.state.clone();
            if let State::Processing { recovered, .. } = &mut record.state {
                *recovered = true;
            }
        }
        Flaw::TakeoverIsNoRecovery => {
            if let State::Processing { recovered, .. } = &mut record.state {
                *recovered = false;
            }
            *answer = Claimed::Acquired { fence: record.fence, recovered: false };
        }
        Flaw::PolicyOfTheFirstOwner => {
            if let (State::Processing { on_crash, .. }, State::Processing { on_crash: first, .. }) =
                (&mut record.state, &dead.state)
            {
                *on_crash = *first;
            }
        }
        _ => {}
    }
}

pub(super) fn complete(
    flaw: Flaw,
    record: Option<Record>,
    complete: &Complete,
    now: Timestamp,
) -> Decision<Written> {
    let mut complete = complete.clone();
    complete.ttl = stored(flaw, complete.ttl);
    complete.finish = kept(flaw, complete.finish);
    let Some(mut before) = record else {
        if flaw == Flaw::CompleteResurrects {
            return (Some(resurrected(complete.owner, now)), Written::Done);
        }
        return lost(flaw, step(None, &complete, now));
    };
    complete.owner = taken_for(flaw, complete.owner, before.owner);
    if let (
        Flaw::FinishesByBytes,
        State::Finished(Finished { finish: Finish::Completed(there), .. }),
        Finish::Completed(given),
    ) = (flaw, &before.state, &complete.finish)
        && there.bytes == given.bytes
    {
        return (Some(before), Written::Done);
    }
    let owner = before.owner == complete.owner;
    let over = is_over(&before, now);
    let parked = is_indeterminate(&before);
    let finished = matches!(before.state, State::Finished(_));
    let (was_owner, was_expiring) = (before.owner, before.expires_at);
    match (flaw, &before.state) {
        (Flaw::CompleteIgnoresTheOwner, State::Processing { .. }) => before.owner = complete.owner,
        (Flaw::CompleteIgnoresTheOwnerOfFinished, State::Finished(_)) if !parked => {
            return (Some(before), Written::Done);
        }
        (Flaw::HealingByAnybody, _) if parked => before.owner = complete.owner,
        (Flaw::CompleteOnlyWithinTheLease, _) if over && owner => {
            return (Some(before), Written::LeaseLost(Lost::Gone));
        }
        (Flaw::CompleteAgainIsLost, State::Finished(end)) if !parked => {
            let lost = Written::LeaseLost(Lost::Finished(end.clone()));
            return (Some(before), lost);
        }
        (Flaw::CompleteSucceedsWithTheSameFinish, State::Finished(end))
            if end.finish == complete.finish =>
        {
            return (Some(before), Written::Done);
        }
        (Flaw::CompleteAgainWritesAgain, State::Finished(end)) if end.finish == complete.finish => {
            before.expires_at = now.after(complete.ttl);
        }
        (Flaw::IndeterminateWritesAgain, State::Finished(end))
            if parked && end.finish == complete.finish =>
        {
            before.expires_at = now.after(complete.ttl);
        }
        (Flaw::LastFinishWins, State::Finished(_))
        | (Flaw::CompleteAfterRelease, State::Released)
            if owner =>
        {
            let end = Finished { at: now, finish: complete.finish };
            return (Some(Record { state: State::Finished(end), ..before }), Written::Done);
        }
        (Flaw::NoHealing, State::Finished(end)) if parked => {
            let lost = Written::LeaseLost(Lost::Finished(end.clone()));
            return (Some(before), lost);
        }
        _ => {}
    }
    let (mut record, answer) = step(Some(before), &complete, now);
    if let Some(record) = &mut record
        && answer == Written::Done
    {
        match flaw {
            Flaw::CompleteKeepsTheClaimsRetention if !finished => record.expires_at = was_expiring,
            Flaw::HealingKeepsRetention if parked => record.expires_at = was_expiring,
            Flaw::IndeterminateExpires if is_indeterminate(record) => {
                record.expires_at = now.after(complete.ttl);
            }
            Flaw::CompleteIgnoresTheOwner => record.owner = was_owner,
            _ => {}
        }
    }
    lost(flaw, (record, answer))
}

pub(super) fn renew(
    flaw: Flaw,
    record: Option<Record>,
    renew: &Renew,
    now: Timestamp,
) -> Decision<Written> {
    let Some(mut before) = record else {
        if flaw == Flaw::RenewResurrects {
            return (Some(resurrected(renew.owner, now)), Written::Done);
        }
        return step(None, renew, now);
    };
    let renew = &Renew { owner: taken_for(flaw, renew.owner, before.owner), ..renew.clone() };
    let (owner, over) = (before.owner == renew.owner, is_over(&before, now));
    let was = before.clone();
    match (flaw, &mut before.state) {
        (Flaw::RenewIgnoresTheOwner, State::Processing { .. }) => before.owner = renew.owner,
        (Flaw::RenewOnlyWithinTheLease, _) if over && owner => {
            return (Some(before), Written::LeaseLost(Lost::Gone));
        }
        (Flaw::RenewDoesNothing, State::Processing { .. })
        | (Flaw::RenewRevivesFinished, State::Finished(_))
        | (Flaw::RenewAfterRelease, State::Released)
            if owner =>
        {
            return (Some(before), Written::Done);
        }
        _ => {}
    }
    let (mut record, answer) = step(Some(before), renew, now);
    if let (Some(record), Written::Done) = (&mut record, &answer) {
        record.owner = was.owner;
        match (flaw, &mut record.state) {
            (Flaw::RenewKeepsRetention, _) => record.expires_at = was.expires_at,
            (
                Flaw::RenewedDeadExpiresUnparked,
                State::Processing { lease_until, ttl, on_crash: CrashPolicy::Park, .. },
            ) => {
                record.expires_at = lease_until.after(*ttl);
            }
            (Flaw::RenewForgetsTheCrash, State::Processing { recovered, .. }) => *recovered = false,
            (Flaw::RenewForgetsThePolicy, State::Processing { on_crash, .. }) => {
                *on_crash = CrashPolicy::Retry;
            }
            _ => {}
        }
    }
    (record, answer)
}

pub(super) fn release(
    flaw: Flaw,
    record: Option<Record>,
    release: &Release,
    now: Timestamp,
) -> Decision<Written> {
    let Some(mut before) = record else {
        let (record, answer) = step(None, release, now);
        let done = flaw == Flaw::ReleaseOfNothingIsDone;
        return (record, if done { Written::Done } else { answer });
    };
    let owner = taken_for(flaw, release.owner, before.owner);
    let release = &Release { owner, ..release.clone() };
    let over = is_over(&before, now);
    let was = before.clone();
    match (flaw, &before.state) {
        (Flaw::ReleaseIgnoresTheOwner, State::Processing { .. }) => before.owner = release.owner,
        (Flaw::ReleaseOnlyWithinTheLease, _) if over => {
            return (Some(before), Written::LeaseLost(Lost::Gone));
        }
        (Flaw::ReleaseRemovesFinished, State::Finished(_)) => return (None, Written::Done),
        (Flaw::ReleaseAgainIsLost, State::Released) => {
            return (Some(before), Written::LeaseLost(Lost::Gone));
        }
        (Flaw::ReleaseAgainByAnybody, State::Released) => return (Some(before), Written::Done),
        (Flaw::ReleaseAgainWritesAgain, State::Released) => {
            before.expires_at = now.after(Duration::from_secs(600));
        }
        _ => {}
    }
    let (mut record, answer) = step(Some(before), release, now);
    let State::Processing { lease, ttl, recovered, .. } = was.state else {
        return (record, answer);
    };
    if let (Some(record), Written::Done) = (&mut record, &answer) {
        match flaw {
            Flaw::ReleaseKeepsTheClaimsRetention => record.expires_at = was.expires_at,
            Flaw::ReleaseIsForgottenAtOnce => record.expires_at = now.after(lease),
            Flaw::ReleaseForgetsTheOwner => record.owner = OwnerId::from_bytes([0; 16]),
            Flaw::ReleaseLooksLikeACrash => {
                let (lease_until, on_crash) = (now, CrashPolicy::Retry);
                record.state = State::Processing { lease, lease_until, ttl, on_crash, recovered };
            }
            _ => {}
        }
        if flaw == Flaw::ReleaseForgetsTheFence {
            return (None, answer);
        }
    }
    (record, answer)
}

/// Who an owner is taken for where that of the record resembles it.
fn taken_for(flaw: Flaw, owner: OwnerId, of_record: OwnerId) -> OwnerId {
    let (given, there) = (owner.to_bytes(), of_record.to_bytes());
    let alike = match flaw {
        Flaw::OwnersByFirstByte => given[0] == there[0],
        Flaw::OwnersByLastByte => given[15] == there[15],
        _ => false,
    };
    if alike { of_record } else { owner }
}

/// A record out of nothing.
pub(super) fn resurrected(owner: OwnerId, now: Timestamp) -> Record {
    let finish = Finish::Failed(Failure::TooLarge { size: 0 });
    Record {
        fingerprint: Fingerprinter::new("lost").finish(),
        owner,
        fence: Fence::FIRST,
        state: State::Finished(Finished { at: now, finish }),
        expires_at: now.after(Duration::from_secs(600)),
    }
}

fn lost(flaw: Flaw, (record, answer): Decision<Written>) -> Decision<Written> {
    match answer {
        Written::LeaseLost(_) if flaw == Flaw::LostIsAlwaysGone => {
            (record, Written::LeaseLost(Lost::Gone))
        }
        answer => (record, answer),
    }
}

/// What the storage makes of a duration.
fn stored(flaw: Flaw, duration: Duration) -> Duration {
    match flaw {
        Flaw::SignedMillis => {
            #[expect(clippy::cast_possible_truncation, reason = "that is the flaw")]
            let millis = duration.as_millis() as i64;
            Duration::from_millis(u64::try_from(millis).unwrap_or(0))
        }
        Flaw::RoundsDown => {
            let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
            Duration::from_millis(millis.max(1))
        }
        Flaw::RoundsUpTwice if !duration.subsec_nanos().is_multiple_of(1_000_000) => {
            duration + Duration::from_millis(1)
        }
        _ => duration,
    }
}

/// What the storage makes of the end of an operation.
fn kept(flaw: Flaw, finish: Finish) -> Finish {
    match (flaw, finish) {
        (Flaw::PayloadIsText, Finish::Completed(payload)) => {
            let text = String::from_utf8_lossy(&payload.bytes).into_owned();
            Finish::Completed(Payload { bytes: text.into(), ..payload })
        }
        (Flaw::PayloadIsCut, Finish::Completed(mut payload)) => {
            payload.bytes.truncate(64 * 1024);
            Finish::Completed(payload)
        }
        (Flaw::CodecIsForgotten, Finish::Completed(payload)) => {
            let codec = Json.tag();
            Finish::Completed(Payload { codec, ..payload })
        }
        (Flaw::TypedErrorIsForgotten, Finish::Failed(Failure::Error { message, .. })) => {
            Finish::Failed(Failure::Error { message, typed: None })
        }
        (Flaw::SizeIsADouble, Finish::Failed(Failure::TooLarge { size })) => {
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss,
                reason = "that is the flaw"
            )]
            let size = size as f64 as u64;
            Finish::Failed(Failure::TooLarge { size })
        }
        (Flaw::FailureIsStoredAsSuccess, Finish::Failed(Failure::Error { message, .. })) => {
            let codec = Json.tag();
            Finish::Completed(Payload { codec, bytes: message.into() })
        }
        (_, finish) => finish,
    }
}
