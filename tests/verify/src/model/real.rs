//! The state machine that the storages run, in the words of this model.

use std::sync::LazyLock;
use std::time::Duration;

use idem_runtime::Fingerprint;
use idem_runtime::codec::{Codec, CodecTag, Json};
use idem_runtime::fingerprint::Fingerprinter;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{
    CrashPolicy, Failure, Fence, Finish, Finished, OwnerId, Payload, Record, State, Timestamp,
};
use idem_runtime::storage::transition::{Purge, step};
use idem_runtime::storage::{Claim, Claimed, Complete, Lost, Release, Renew, Written};

use super::server::{Answer, Policy};
use super::world::{Call, End, Entry, LEASE, Moment, RETENTION, Request, Stand, Verb};

const NOW: Timestamp = Timestamp::from_millis(1_000);

static KEY: LazyLock<RecordKey> = LazyLock::new(|| RecordKey::from_stored("key"));

static CODEC: LazyLock<CodecTag> = LazyLock::new(|| Json.tag());

static USES: LazyLock<[Fingerprint; 2]> =
    LazyLock::new(|| ["one", "other"].map(|operation| Fingerprinter::new(operation).finish()));

/// What the state machine makes of the record and answers.
pub(super) fn apply(
    record: &mut Option<Entry>,
    Request { call, verb }: Request,
    claim: Policy,
) -> Answer {
    let stored = record.map(load);
    let (key, owner) = (KEY.clone(), owner(call));
    let lease = ticks(LEASE);
    let ttl = ticks(RETENTION);
    let (stored, answer) = match verb {
        Verb::Claim => {
            let fingerprint = USES[usize::from(claim.other_use)];
            let on_crash = if claim.park { CrashPolicy::Park } else { CrashPolicy::Retry };
            let claim = Claim { key, owner, fingerprint, lease, ttl, on_crash };
            let (stored, claimed) = step(stored, &claim, NOW);
            (stored, answer_to_claim(&claimed))
        }
        Verb::Renew => {
            let (stored, written) = step(stored, &Renew { key, owner }, NOW);
            (stored, answer_to_write(&written))
        }
        Verb::Complete(end) => {
            let complete = Complete { key, owner, finish: finish(end), ttl };
            let (stored, written) = step(stored, &complete, NOW);
            (stored, answer_to_write(&written))
        }
        Verb::Release => {
            let (stored, written) = step(stored, &Release { key, owner }, NOW);
            (stored, answer_to_write(&written))
        }
    };
    *record = stored.as_ref().map(save);
    answer
}

/// What the state machine leaves of the record at a purge.
pub(super) fn purge(record: Entry) -> Option<Entry> {
    let (after, ()) = step(Some(load(record)), &Purge, NOW);
    after.map(|after| save(&after))
}

fn answer_to_claim(claimed: &Claimed) -> Answer {
    match claimed {
        Claimed::Acquired { fence, recovered } => Answer::Acquired(small(fence.get()), *recovered),
        Claimed::InProgress { lease_left } => {
            Answer::InProgress(i8::try_from(lease_left.as_millis()).unwrap_or(i8::MAX))
        }
        Claimed::Replay(finished) => Answer::Replay(end(&finished.finish)),
        Claimed::Parked(_) => Answer::Parked,
        Claimed::Mismatch => Answer::Mismatch,
    }
}

fn answer_to_write(written: &Written) -> Answer {
    match written {
        Written::Done => Answer::Done,
        Written::LeaseLost(Lost::Gone) => Answer::Gone,
        Written::LeaseLost(Lost::TakenOver) => Answer::TakenOver,
        Written::LeaseLost(Lost::Finished(finished)) => Answer::Ended(end(&finished.finish)),
    }
}

fn load(entry: Entry) -> Record {
    let state = match entry.state {
        Stand::Processing { lease, park, recovered } => State::Processing {
            lease: ticks(LEASE),
            lease_until: timestamp(lease),
            ttl: ticks(RETENTION),
            on_crash: if park { CrashPolicy::Park } else { CrashPolicy::Retry },
            recovered,
        },
        Stand::Released => State::Released,
        Stand::Finished(end) => State::Finished(Finished { at: NOW, finish: finish(end) }),
    };
    Record {
        fingerprint: USES[usize::from(entry.other_use)],
        owner: owner(entry.owner),
        fence: Fence::new(entry.fence.into()),
        state,
        expires_at: timestamp(entry.expires),
    }
}

fn save(record: &Record) -> Entry {
    let [caller, number, ..] = record.owner.to_bytes();
    let state = match &record.state {
        State::Processing { lease_until, on_crash, recovered, .. } => Stand::Processing {
            lease: moment(*lease_until),
            park: *on_crash == CrashPolicy::Park,
            recovered: *recovered,
        },
        State::Released => Stand::Released,
        State::Finished(finished) => Stand::Finished(end(&finished.finish)),
    };
    Entry {
        owner: Call { caller, number },
        fence: small(record.fence.get()),
        other_use: record.fingerprint == USES[1],
        state,
        expires: moment(record.expires_at),
    }
}

fn owner(call: Call) -> OwnerId {
    let mut bytes = [0; 16];
    [bytes[0], bytes[1]] = [call.caller, call.number];
    OwnerId::from_bytes(bytes)
}

/// An execution's value is its own: two bytes of a constant.
fn finish(end: End) -> Finish {
    match end {
        End::Value(call) => Finish::Completed(Payload {
            codec: *CODEC,
            bytes: vec![call.caller, call.number].into(),
        }),
        End::Error(call) => Finish::Failed(Failure::TooLarge {
            size: u64::from(call.caller) << 8 | u64::from(call.number),
        }),
        End::Indeterminate => Finish::Failed(Failure::Indeterminate),
    }
}

fn end(finish: &Finish) -> End {
    match finish {
        Finish::Completed(payload) => {
            End::Value(Call { caller: payload.bytes[0], number: payload.bytes[1] })
        }
        Finish::Failed(Failure::TooLarge { size }) => {
            End::Error(Call { caller: small(size >> 8), number: small(size & 0xff) })
        }
        Finish::Failed(_) => End::Indeterminate,
    }
}

fn ticks(ticks: i8) -> Duration {
    Duration::from_millis(u64::from(ticks.unsigned_abs()))
}

fn timestamp(moment: Moment) -> Timestamp {
    if moment == Moment::NEVER {
        return Timestamp::NEVER;
    }
    Timestamp::from_millis(NOW.as_millis().saturating_add_signed(moment.left().into()))
}

fn moment(timestamp: Timestamp) -> Moment {
    if timestamp == Timestamp::NEVER {
        return Moment::NEVER;
    }
    let left = timestamp.as_millis().cast_signed() - NOW.as_millis().cast_signed();
    Moment::after(i8::try_from(left.clamp(-1, 100)).unwrap_or(i8::MAX))
}

fn small(number: u64) -> u8 {
    u8::try_from(number).unwrap_or(u8::MAX)
}
