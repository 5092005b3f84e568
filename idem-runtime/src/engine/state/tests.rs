//! One test for each row of the table, and its edges in time.

use std::time::Duration;

use super::{Event, Purge, step};
use crate::codec::CodecTag;
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::key::RecordKey;
use crate::record::{
    CrashPolicy, Failure, Fence, Finish, Finished, OwnerId, Payload, Record, State, Timestamp,
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
    assert_eq!(reply, Claimed::Acquired { fence: Fence::FIRST });
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

/// The first moment at which a lease is over.
fn lease_over() -> Timestamp {
    START.after(LEASE)
}

/// The last moment of a lease.
fn last_moment() -> Timestamp {
    Timestamp::from_millis(lease_over().as_millis() - 1)
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
        (parked(), lease_over()),
    ]
}

/// `event` changes nothing, and gets this reply.
#[track_caller]
fn stays<E: Event>(record: Record, event: &E, now: Timestamp) -> E::Reply {
    let (after, reply) = step(Some(record.clone()), event, now);
    assert_eq!(after, Some(record));
    reply
}

fn lost_to(record: &Record) -> Written {
    Written::LeaseLost(match &record.state {
        State::Processing { .. } => Lost::TakenOver,
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
    assert_eq!(reply, Claimed::Acquired { fence: Fence::FIRST });
    let state = State::Processing {
        lease: LEASE,
        lease_until: START.after(LEASE),
        ttl: TTL,
        on_crash: CrashPolicy::Park,
    };
    let expected = Record {
        fingerprint: fingerprint("charge"),
        owner: OwnerId::from_bytes(N),
        fence: Fence::FIRST,
        state,
        expires_at: START.after(LEASE).after(TTL),
    };
    assert_eq!(record, Some(expected));
}

#[test]
fn expired_is_none_for_every_event() {
    for (record, _) in every_state() {
        let now = record.expires_at;
        let (taken, reply) = step(Some(record.clone()), &claim(M, CrashPolicy::Retry), now);
        assert_eq!(reply, Claimed::Acquired { fence: Fence::FIRST });
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
            assert_eq!(reply, Claimed::Acquired { fence: Fence::FIRST });
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
        assert_eq!(reply, Claimed::Acquired { fence: Fence::new(2) });
        let (mut as_new, _) = step(None, &claim(M, on_crash), lease_over());
        as_new.as_mut().unwrap().fence = Fence::new(2);
        assert_eq!(record, as_new);
    }
}

#[test]
fn processing_with_its_lease_over_park_claim_by_another_becomes_indeterminate() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        // It is kept for its ttl from when it was found, not from when its lease was over.
        for now in [lease_over(), lease_over().after(LEASE)] {
            let record = processing(CrashPolicy::Park);
            let finder = Claim { ttl: TTL * 2, ..claim(M, on_crash) };
            let (after, reply) = step(Some(record.clone()), &finder, now);
            let end = Finished { at: now, finish: indeterminate() };
            assert_eq!(reply, Claimed::Replay(end.clone()));
            let (state, expires_at) = (State::Finished(end), now.after(TTL));
            assert_eq!(after, Some(Record { state, expires_at, ..record }));
        }
    }
}

#[test]
fn processing_renew_by_its_owner_is_extended_even_after_its_lease() {
    for now in [START, last_moment(), lease_over(), START.after(TTL)] {
        let record = processing(CrashPolicy::Park);
        let (after, reply) = step(Some(record.clone()), &renew(N), now);
        assert_eq!(reply, Written::Done);
        let lease_until = now.after(LEASE);
        let state =
            State::Processing { lease: LEASE, lease_until, ttl: TTL, on_crash: CrashPolicy::Park };
        assert_eq!(after, Some(Record { state, expires_at: lease_until.after(TTL), ..record }));
    }
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
            State::Processing { .. } => result("1"),
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
fn processing_release_by_its_owner_is_none_even_after_its_lease() {
    for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
        for now in [START, lease_over(), START.after(TTL)] {
            let after = step(Some(processing(on_crash)), &release(N), now);
            assert_eq!(after, (None, Written::Done));
        }
    }
}

#[test]
fn finished_claim_is_replayed_to_everybody() {
    for record in [finished(result("1")), finished(failure()), parked()] {
        let State::Finished(end) = record.state.clone() else { panic!("it is finished") };
        for owner in [N, M] {
            let last = Timestamp::from_millis(record.expires_at.as_millis() - 1);
            let reply = stays(record.clone(), &claim(owner, CrashPolicy::Retry), last);
            assert_eq!(reply, Claimed::Replay(end.clone()));
        }
    }
}

#[test]
fn not_expired_purge_keeps() {
    for (record, now) in every_state() {
        stays(record.clone(), &Purge, now);
        stays(record.clone(), &Purge, Timestamp::from_millis(record.expires_at.as_millis() - 1));
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
