//! One test for each row of the table, and its edges in time.

use std::time::Duration;

use super::{Purge, Transition, step};
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::key::RecordKey;
use crate::record::{
    CodecTag, CrashPolicy, Failure, Fence, Finish, Finished, OwnerId, Payload, Record, State,
    Timestamp,
};
use crate::storage::{Claim, Claimed, Complete, Lost, Release, Renew, Written};

const LEASE: Duration = Duration::from_secs(30);
const TTL: Duration = Duration::from_secs(3_600);
const START: Timestamp = Timestamp::from_millis(1_000_000);
const N: [u8; 16] = [1; 16];
const M: [u8; 16] = [2; 16];

fn key() -> RecordKey {
    RecordKey::from_stored("key")
}

fn fingerprint(operation: &str) -> Fingerprint {
    Fingerprinter::new(operation).finish()
}

fn claim(owner: [u8; 16], on_crash: CrashPolicy) -> Claim {
    let owner = OwnerId::from_bytes(owner);
    Claim {
        key: key(),
        owner,
        fingerprint: fingerprint("charge"),
        lease: LEASE,
        ttl: TTL,
        on_crash,
    }
}

fn complete(owner: [u8; 16], finish: Finish) -> Complete {
    Complete { key: key(), owner: OwnerId::from_bytes(owner), finish, ttl: TTL }
}

fn renew(owner: [u8; 16]) -> Renew {
    Renew { key: key(), owner: OwnerId::from_bytes(owner) }
}

fn release(owner: [u8; 16]) -> Release {
    Release { key: key(), owner: OwnerId::from_bytes(owner) }
}

fn result(text: &'static str) -> Finish {
    let codec = CodecTag::new("json").unwrap();
    Finish::Completed(Payload { codec, bytes: text.into() })
}

fn failure() -> Finish {
    Finish::Failed(Failure::Error { message: "declined".into(), typed: None })
}

fn indeterminate() -> Finish {
    Finish::Failed(Failure::Indeterminate)
}

fn processing(on_crash: CrashPolicy) -> Record {
    let (record, reply) = step(None, &claim(N, on_crash), START);
    assert_eq!(reply, Claimed::Acquired { fence: Fence::FIRST, recovered: false });
    record.unwrap()
}

fn finished(finish: Finish) -> Record {
    let (record, reply) = step(Some(processing(CrashPolicy::Retry)), &complete(N, finish), START);
    assert_eq!(reply, Written::Done);
    record.unwrap()
}

fn parked() -> Record {
    let (record, _) =
        step(Some(processing(CrashPolicy::Park)), &claim(M, CrashPolicy::Retry), lease_over());
    record.unwrap()
}

fn released(on_crash: CrashPolicy) -> Record {
    let (record, reply) = step(Some(processing(on_crash)), &release(N), START);
    assert_eq!(reply, Written::Done);
    record.unwrap()
}

/// The first moment at which a lease is over.
fn lease_over() -> Timestamp {
    START.after(LEASE)
}

/// The last moment of a lease.
fn last_moment() -> Timestamp {
    Timestamp::from_millis(lease_over().as_millis() - 1)
}

/// As many of those as are forgotten when time passes.
fn every_state_that_expires() -> Vec<Record> {
    let expires = |record: &Record| record.expires_at != Timestamp::NEVER;
    every_state().into_iter().map(|(record, _)| record).filter(expires).collect()
}

/// The last moment before a record expires, or one that is as good as the end of time.
fn last(record: &Record) -> Timestamp {
    match record.expires_at {
        Timestamp::NEVER => Timestamp::from_millis(u64::MAX),
        expires_at => Timestamp::from_millis(expires_at.as_millis() - 1),
    }
}

/// Every state in which a record can be, with a moment at which it is in that state.
fn every_state() -> Vec<(Record, Timestamp)> {
    let (retry, park) = (processing(CrashPolicy::Retry), processing(CrashPolicy::Park));
    vec![
        (retry.clone(), START),
        (retry, lease_over()),
        (park.clone(), START),
        (park, lease_over()),
        (finished(result("1")), START),
        (finished(failure()), START),
        (finished(indeterminate()), START),
        (parked(), lease_over()),
        (released(CrashPolicy::Retry), START),
        (released(CrashPolicy::Park), START),
    ]
}

/// `event` changes nothing, and gets this reply.
#[track_caller]
fn stays<E: Transition>(record: Record, event: &E, now: Timestamp) -> E::Reply {
    let (after, reply) = step(Some(record.clone()), event, now);
    assert_eq!(after, Some(record));
    reply
}

fn lost_to(record: &Record) -> Written {
    Written::LeaseLost(match &record.state {
        State::Processing { .. } => Lost::TakenOver,
        State::Released => Lost::Gone,
        State::Finished(finished) => Lost::Finished(finished.clone()),
    })
}

#[test]
fn any_with_another_fingerprint_claim_is_mismatch() {
    for (record, now) in every_state() {
        for owner in [N, M] {
            let claim =
                Claim { fingerprint: fingerprint("refund"), ..claim(owner, CrashPolicy::Retry) };
            assert_eq!(stays(record.clone(), &claim, now), Claimed::Mismatch);
        }
    }
}

#[test]
fn none_claim_becomes_processing() {
    let (record, reply) = step(None, &claim(N, CrashPolicy::Park), START);
    assert_eq!(reply, Claimed::Acquired { fence: Fence::FIRST, recovered: false });
    let state = State::Processing {
        lease: LEASE,
        lease_until: START.after(LEASE),
        ttl: TTL,
        on_crash: CrashPolicy::Park,
        recovered: false,
    };
    let expected = Record {
        fingerprint: fingerprint("charge"),
        owner: OwnerId::from_bytes(N),
        fence: Fence::FIRST,
        state,
        expires_at: Timestamp::NEVER,
    };
    assert_eq!(record, Some(expected));
    let (record, _) = step(None, &claim(N, CrashPolicy::Retry), START);
    assert_eq!(record.unwrap().expires_at, START.after(LEASE).after(TTL));
}

#[test]
fn expired_is_none_for_every_event() {
    assert_eq!(every_state_that_expires().len(), 6);
    for record in every_state_that_expires() {
        let now = record.expires_at;
        let (taken, reply) = step(Some(record.clone()), &claim(M, CrashPolicy::Retry), now);
        assert_eq!(reply, Claimed::Acquired { fence: Fence::FIRST, recovered: false });
        assert_eq!(taken.unwrap().owner, OwnerId::from_bytes(M));

        let gone = (None, Written::LeaseLost(Lost::Gone));
        assert_eq!(step(Some(record.clone()), &renew(N), now), gone);
        assert_eq!(step(Some(record.clone()), &complete(N, result("1")), now), gone);
        assert_eq!(step(Some(record.clone()), &release(N), now), gone);
        assert_eq!(step(Some(record), &Purge, now), (None, ()));
    }
}

#[test]
fn processing_claim_again_by_its_owner_is_acquired_with_the_same_fence() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        for now in [START, lease_over()] {
            let again = Claim { lease: LEASE * 2, ttl: TTL * 2, ..claim(N, CrashPolicy::Retry) };
            let reply = stays(processing(on_crash), &again, now);
            assert_eq!(reply, Claimed::Acquired { fence: Fence::FIRST, recovered: false });
        }
    }
}

#[test]
fn processing_with_its_lease_live_claim_by_another_is_in_progress() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        for (now, lease_left) in [(START, LEASE), (last_moment(), Duration::from_millis(1))] {
            let reply = stays(processing(on_crash), &claim(M, CrashPolicy::Retry), now);
            assert_eq!(reply, Claimed::InProgress { lease_left });
        }
    }
}

#[test]
fn processing_with_its_lease_over_retry_claim_by_another_is_taken_over() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        let record = processing(CrashPolicy::Retry);
        let (record, reply) = step(Some(record), &claim(M, on_crash), lease_over());
        assert_eq!(reply, Claimed::Acquired { fence: Fence::new(2), recovered: true });
        let (mut as_new, _) = step(None, &claim(M, on_crash), lease_over());
        let as_new = as_new.as_mut().unwrap();
        as_new.fence = Fence::new(2);
        if let State::Processing { recovered, .. } = &mut as_new.state {
            *recovered = true;
        }
        assert_eq!(record.as_ref(), Some(&*as_new));
        let again = stays(record.unwrap(), &claim(M, on_crash), lease_over());
        assert_eq!(again, Claimed::Acquired { fence: Fence::new(2), recovered: true });
    }
}

#[test]
fn processing_with_its_lease_over_park_claim_by_another_becomes_indeterminate() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        // However late that is: until then the record has not expired.
        for now in [lease_over(), lease_over().after(LEASE), lease_over().after(TTL * 2)] {
            let record = processing(CrashPolicy::Park);
            let finder = Claim { ttl: TTL * 2, ..claim(M, on_crash) };
            let (after, reply) = step(Some(record.clone()), &finder, now);
            let end = Finished { at: now, finish: indeterminate() };
            assert_eq!(reply, Claimed::Parked(end.clone()));
            let (state, expires_at) = (State::Finished(end), Timestamp::NEVER);
            assert_eq!(after, Some(Record { state, expires_at, ..record }));
        }
    }
}

#[test]
fn processing_renew_by_its_owner_is_extended_even_after_its_lease() {
    for now in [START, last_moment(), lease_over(), START.after(TTL)] {
        for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
            for recovered in [false, true] {
                let record = with(&processing(on_crash), START, recovered);
                let (after, reply) = step(Some(record.clone()), &renew(N), now);
                assert_eq!(reply, Written::Done);
                assert_eq!(after, Some(with(&record, now, recovered)));
            }
        }
    }
}

/// The record with a lease that began then.
fn with(record: &Record, begun: Timestamp, recovered: bool) -> Record {
    let State::Processing { on_crash, .. } = record.state else { panic!("it is at work") };
    let lease_until = begun.after(LEASE);
    let state = State::Processing { lease: LEASE, lease_until, ttl: TTL, on_crash, recovered };
    let expires_at = match on_crash {
        CrashPolicy::Retry => lease_until.after(TTL),
        CrashPolicy::Park => Timestamp::NEVER,
    };
    Record { state, expires_at, ..record.clone() }
}

#[test]
fn processing_complete_by_its_owner_is_finished_even_after_its_lease() {
    for now in [START, lease_over(), START.after(TTL)] {
        for finish in [result("1"), failure()] {
            let record = processing(CrashPolicy::Park);
            let (after, reply) = step(Some(record.clone()), &complete(N, finish.clone()), now);
            assert_eq!(reply, Written::Done);
            let state = State::Finished(Finished { at: now, finish });
            assert_eq!(after, Some(Record { state, expires_at: now.after(TTL), ..record }));
        }
    }
}

#[test]
fn processing_complete_as_indeterminate_never_expires() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        let (after, _) = step(Some(processing(on_crash)), &complete(N, indeterminate()), START);
        let after = after.unwrap();
        assert_eq!((after.expires_at, after.is_parked()), (Timestamp::NEVER, true));
        let healed = step(Some(after), &complete(N, result("1")), START.after(TTL * 2)).0.unwrap();
        assert_eq!(healed.expires_at, START.after(TTL * 3));
        assert!(!healed.is_parked());
    }
}

#[test]
fn indeterminate_complete_by_its_owner_is_healed() {
    let later = lease_over().after(LEASE);
    for finish in [result("1"), failure()] {
        let (after, reply) = step(Some(parked()), &complete(N, finish.clone()), later);
        assert_eq!(reply, Written::Done);
        let state = State::Finished(Finished { at: later, finish });
        assert_eq!(after, Some(Record { state, expires_at: later.after(TTL), ..parked() }));
    }
}

#[test]
fn finished_complete_again_with_the_same_finish_stays_and_is_done() {
    for finish in [result("1"), failure(), indeterminate()] {
        let reply = stays(finished(finish.clone()), &complete(N, finish), lease_over());
        assert_eq!(reply, Written::Done);
    }
}

#[test]
fn finished_complete_again_with_another_finish_is_lost() {
    for (first, second) in [(result("1"), result("2")), (result("1"), failure())] {
        let record = finished(first);
        let lost = lost_to(&record);
        assert_eq!(stays(record, &complete(N, second), START), lost);
    }
    let record = finished(result("1"));
    let lost = lost_to(&record);
    assert_eq!(stays(record, &complete(N, indeterminate()), START), lost);
}

#[test]
fn owned_by_another_any_write_is_lost() {
    for (record, now) in every_state() {
        let lost = lost_to(&record);
        let same_finish = match &record.state {
            State::Finished(finished) => finished.finish.clone(),
            State::Processing { .. } | State::Released => result("1"),
        };
        assert_eq!(stays(record.clone(), &renew(M), now), lost);
        assert_eq!(stays(record.clone(), &complete(M, same_finish), now), lost);
        assert_eq!(stays(record, &release(M), now), lost);
    }
}

#[test]
fn none_any_write_is_lost_and_stays_none() {
    let gone = (None, Written::LeaseLost(Lost::Gone));
    assert_eq!(step(None, &renew(N), START), gone);
    assert_eq!(step(None, &complete(N, result("1")), START), gone);
    assert_eq!(step(None, &release(N), START), gone);
}

#[test]
fn finished_renew_and_release_by_its_owner_are_lost() {
    for record in [finished(result("1")), finished(failure()), parked()] {
        let lost = lost_to(&record);
        assert_eq!(stays(record.clone(), &renew(N), lease_over()), lost);
        assert_eq!(stays(record, &release(N), lease_over()), lost);
    }
}

#[test]
fn processing_release_by_its_owner_is_released_even_after_its_lease() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        for now in [START, lease_over(), START.after(TTL)] {
            let record = processing(on_crash);
            let after = step(Some(record.clone()), &release(N), now);
            let (state, expires_at) = (State::Released, now.after(TTL));
            assert_eq!(after, (Some(Record { state, expires_at, ..record }), Written::Done));
        }
    }
}

#[test]
fn released_release_again_by_its_owner_is_done() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        let reply = stays(released(on_crash), &release(N), lease_over());
        assert_eq!(reply, Written::Done);
    }
}

#[test]
fn released_renew_and_complete_by_its_owner_are_lost() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        let gone = Written::LeaseLost(Lost::Gone);
        assert_eq!(stays(released(on_crash), &renew(N), START), gone);
        assert_eq!(stays(released(on_crash), &complete(N, result("1")), START), gone);
        assert_eq!(stays(released(on_crash), &complete(N, indeterminate()), START), gone);
    }
}

#[test]
fn released_claim_is_acquired_with_the_next_fence_and_no_recovery() {
    for before in [CrashPolicy::Retry, CrashPolicy::Park] {
        for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
            for owner in [N, M] {
                let now = START.after(LEASE * 2);
                let (after, reply) = step(Some(released(before)), &claim(owner, on_crash), now);
                let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: false };
                assert_eq!(reply, acquired);
                let as_new = step(None, &claim(owner, on_crash), now).0.unwrap();
                assert_eq!(after, Some(Record { fence: Fence::new(2), ..as_new }));
                let again = stays(after.unwrap(), &claim(owner, on_crash), now);
                assert_eq!(again, acquired);
            }
        }
    }
}

#[test]
fn released_after_a_takeover_claim_is_no_recovery() {
    let dead = processing(CrashPolicy::Retry);
    let (taken, _) = step(Some(dead), &claim(M, CrashPolicy::Retry), lease_over());
    let (released, _) = step(taken, &release(M), lease_over());
    let (_, reply) = step(released, &claim(N, CrashPolicy::Retry), lease_over());
    assert_eq!(reply, Claimed::Acquired { fence: Fence::new(3), recovered: false });
}

#[test]
fn finished_claim_is_replayed_to_everybody() {
    for record in [finished(result("1")), finished(failure()), parked()] {
        let State::Finished(end) = record.state.clone() else { panic!("it is finished") };
        for owner in [N, M] {
            let now = last(&record);
            let reply = stays(record.clone(), &claim(owner, CrashPolicy::Retry), now);
            assert_eq!(reply, Claimed::Replay(end.clone()));
        }
    }
}

#[test]
fn not_expired_purge_keeps() {
    for (record, now) in every_state() {
        stays(record.clone(), &Purge, now);
        stays(record.clone(), &Purge, last(&record));
    }
}

#[test]
fn processing_is_kept_until_after_its_lease_whatever_the_durations() {
    let durations = [0, 1, 999_999, 1_000_000, u64::MAX].map(Duration::from_nanos);
    for lease in durations.into_iter().chain([Duration::MAX]) {
        for ttl in durations.into_iter().chain([Duration::MAX]) {
            let claim = Claim { lease, ttl, ..claim(N, CrashPolicy::Retry) };
            let record = step(None, &claim, START).0.unwrap();
            let State::Processing { lease_until, .. } = record.state else {
                panic!("it was claimed")
            };
            assert!(record.expires_at >= lease_until);
            let last = Timestamp::from_millis(lease_until.as_millis() - 1);
            assert!(lease.is_zero() || !record.is_expired(last));
        }
    }
}
