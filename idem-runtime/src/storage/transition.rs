//! The state machine of a record: the one place where the transition table is code.
//!
//! | record | event | becomes | reply |
//! |---|---|---|---|
//! | any, other fingerprint | claim | same | Mismatch |
//! | none, or expired | claim(n) | Processing(n, fence 1) | Acquired |
//! | Released | claim(n) | Processing(n, fence+1) | Acquired |
//! | Processing(n) | claim(n) again | same | Acquired, same fence, recovered if it was |
//! | Processing(n), lease live | claim(m) | same | InProgress(lease left) |
//! | Processing(n), lease over, retry | claim(m) | Processing(m, fence+1) | Acquired, recovered |
//! | Processing(n), lease over, park | claim(m) | Failed(Indeterminate, owner n) | Replay(Indeterminate) |
//! | Processing(n), even after its lease, not taken over | renew / complete / fail(n) | extended / Completed / Failed | Done |
//! | Failed(Indeterminate, owner n) | complete(n) | Completed | Done (heals) |
//! | Failed(Indeterminate) | time passes | same: it expires only after it was healed | |
//! | Completed or Failed(n) | complete(n), same finish | same | Done |
//! | Processing(n) | release(n) | Released(n): the fence is kept for the ttl | Done |
//! | Released(n) | release(n) again | same | Done |
//! | owned by m, finished otherwise, released, or none | any other write by n | same | `LeaseLost` (with what is there instead) |
//! | Completed / Failed | claim | same | Replay |
//! | Processing(n), retry | lease and then ttl pass | none | |
//! | Processing(n), park | lease and then ttl pass | same: it waits for the claim that parks it | |
//! | anything whose retention is not over | purge | same | kept: retention of a Processing record outlives its lease |
//!
//! A fence never goes back while a record is there. "Recovered" says that the owner before died,
//! which a fence above 1 does not: the owner before may have released the key. It is part of the
//! record, so that a claim that is repeated after a lost reply gets the same answer.
//!
//! [`step`] is pure: no I/O, no clock. The memory storage runs it; the Lua of the Redis storage and
//! the statements of the SQL storages restate it and are tested against it.

use crate::record::{CrashPolicy, Failure, Fence, Finish, Finished, Record, State, Timestamp};
use crate::storage::{Claim, Claimed, Complete, Lost, Release, Renew, Written};

/// Something that happens to a record.
pub trait Transition {
    /// The caller's answer.
    type Reply;

    /// The record afterwards, and the reply. `record` is not expired.
    fn apply(&self, record: Option<Record>, now: Timestamp) -> (Option<Record>, Self::Reply);
}

/// What `event` makes of `record` at `now`. A record whose retention is over counts as none.
pub fn step<E: Transition>(
    record: Option<Record>,
    event: &E,
    now: Timestamp,
) -> (Option<Record>, E::Reply) {
    event.apply(record.filter(|record| !record.is_expired(now)), now)
}

/// Retention is over, or it is not: [`step`] itself removes what has expired.
#[derive(Clone, Copy, Debug)]
pub struct Purge;

impl Transition for Purge {
    type Reply = ();

    fn apply(&self, record: Option<Record>, _now: Timestamp) -> (Option<Record>, ()) {
        (record, ())
    }
}

impl Transition for Claim {
    type Reply = Claimed;

    fn apply(&self, record: Option<Record>, now: Timestamp) -> (Option<Record>, Claimed) {
        let Some(record) = record else {
            return self.acquire(Fence::FIRST, false, now);
        };
        if record.fingerprint != self.fingerprint {
            return (Some(record), Claimed::Mismatch);
        }
        match record.state {
            State::Finished(ref finished) => {
                let reply = Claimed::Replay(finished.clone());
                (Some(record), reply)
            }
            State::Released => self.acquire(record.fence.next(), false, now),
            State::Processing { recovered, .. } if record.owner == self.owner => {
                let reply = Claimed::Acquired { fence: record.fence, recovered };
                (Some(record), reply)
            }
            State::Processing { lease_until, .. } if now < lease_until => {
                let reply = Claimed::InProgress { lease_left: lease_until.left_at(now) };
                (Some(record), reply)
            }
            State::Processing { on_crash: CrashPolicy::Retry, .. } => {
                self.acquire(record.fence.next(), true, now)
            }
            State::Processing { on_crash: CrashPolicy::Park, .. } => {
                let finished = Finished { at: now, finish: Finish::Failed(Failure::Indeterminate) };
                let reply = Claimed::Parked(finished.clone());
                let state = State::Finished(finished);
                (Some(Record { state, expires_at: Timestamp::NEVER, ..record }), reply)
            }
        }
    }
}

impl Claim {
    fn acquire(&self, fence: Fence, recovered: bool, now: Timestamp) -> (Option<Record>, Claimed) {
        let lease_until = now.after(self.lease);
        let record = Record {
            fingerprint: self.fingerprint,
            owner: self.owner,
            fence,
            state: State::Processing {
                lease: self.lease,
                lease_until,
                ttl: self.ttl,
                on_crash: self.on_crash,
                recovered,
            },
            expires_at: self.on_crash.expires_at(lease_until, self.ttl),
        };
        (Some(record), Claimed::Acquired { fence, recovered })
    }
}

impl Transition for Renew {
    type Reply = Written;

    fn apply(&self, record: Option<Record>, now: Timestamp) -> (Option<Record>, Written) {
        match record {
            Some(Record {
                state: State::Processing { lease, ttl, on_crash, recovered, .. },
                owner,
                fence,
                fingerprint,
                ..
            }) if owner == self.owner => {
                let lease_until = now.after(lease);
                let state = State::Processing { lease, lease_until, ttl, on_crash, recovered };
                let expires_at = on_crash.expires_at(lease_until, ttl);
                let record = Record { fingerprint, owner, fence, state, expires_at };
                (Some(record), Written::Done)
            }
            other => lease_lost(other),
        }
    }
}

impl Transition for Complete {
    type Reply = Written;

    fn apply(&self, record: Option<Record>, now: Timestamp) -> (Option<Record>, Written) {
        match record {
            Some(record) if record.owner == self.owner && has_finish(&record, &self.finish) => {
                (Some(record), Written::Done)
            }
            Some(record) if record.owner == self.owner && is_open(&record.state) => {
                let finished = Finished { at: now, finish: self.finish.clone() };
                let state = State::Finished(finished);
                let expires_at = self.finish.expires_at(now, self.ttl);
                (Some(Record { state, expires_at, ..record }), Written::Done)
            }
            other => lease_lost(other),
        }
    }
}

impl Transition for Release {
    type Reply = Written;

    fn apply(&self, record: Option<Record>, now: Timestamp) -> (Option<Record>, Written) {
        match record {
            Some(record) if record.owner == self.owner => match record.state {
                State::Processing { ttl, .. } => {
                    let (state, expires_at) = (State::Released, now.after(ttl));
                    (Some(Record { state, expires_at, ..record }), Written::Done)
                }
                State::Released => (Some(record), Written::Done),
                State::Finished(_) => lease_lost(Some(record)),
            },
            other => lease_lost(other),
        }
    }
}

/// Whether the record's owner may still say how it ended.
fn is_open(state: &State) -> bool {
    match state {
        State::Processing { .. } => true,
        State::Released => false,
        State::Finished(finished) => finished.finish.is_parked(),
    }
}

fn has_finish(record: &Record, finish: &Finish) -> bool {
    matches!(&record.state, State::Finished(finished) if finished.finish == *finish)
}

fn lease_lost(record: Option<Record>) -> (Option<Record>, Written) {
    let lost = match &record {
        None | Some(Record { state: State::Released, .. }) => Lost::Gone,
        Some(Record { state: State::Processing { .. }, .. }) => Lost::TakenOver,
        Some(Record { state: State::Finished(finished), .. }) => Lost::Finished(finished.clone()),
    };
    (record, Written::LeaseLost(lost))
}

#[cfg(test)]
mod tests;
