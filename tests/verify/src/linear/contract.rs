//! What the contract of [`Storage`](idem_runtime::storage::Storage) allows at a moment.

use super::history::{Answer, End, Operation, Request, There};

/// What is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// Nothing.
    Free,
    /// Somebody is at work.
    Processing {
        /// Who.
        owner: u32,
        /// Its fence.
        fence: u64,
        /// What for.
        fingerprint: u8,
        /// How long its lease is.
        lease: u64,
        /// Whether a takeover parks.
        parks: bool,
        /// Whether the owner before died.
        recovered: bool,
        /// The lease does not end before.
        ends_after: u64,
        /// It has ended by then.
        ends_by: u64,
    },
    /// Its last owner gave it back.
    Released {
        /// Who.
        owner: u32,
        /// Its fence.
        fence: u64,
        /// What for.
        fingerprint: u8,
    },
    /// It has ended.
    Finished {
        /// Whose end it is.
        owner: u32,
        /// Its fence.
        fence: u64,
        /// What for.
        fingerprint: u8,
        /// How.
        end: End,
    },
}

/// What may come of an operation: what is there afterwards, and the answer. There are two where nobody knows whether the lease is over.
pub fn outcomes(key: Key, operation: &Operation, tolerance: u64) -> Vec<(Key, Answer)> {
    let ended = operation.answered.map_or(u64::MAX, |(at, _)| at);
    if matches!(operation.answered, Some((_, Answer::Refused))) {
        return vec![(key, Answer::Refused)];
    }
    let moment = Moment { begun: operation.begun, ended, tolerance };
    match operation.request {
        Request::Claim { owner, fingerprint, lease, parks } => {
            let claim = Claim { owner, fingerprint, lease, parks };
            claim.outcomes(key, moment)
        }
        Request::Renew { owner } => vec![renew(key, owner, moment)],
        Request::Complete { owner, end } => vec![complete(key, owner, end)],
        Request::Release { owner } => vec![release(key, owner)],
    }
}

/// When an operation takes effect: between these two.
#[derive(Clone, Copy)]
struct Moment {
    begun: u64,
    ended: u64,
    tolerance: u64,
}

impl Moment {
    /// Between which moments a lease ends that begins now.
    fn lease(self, lease: u64) -> (u64, u64) {
        let ends_by = self.ended.saturating_add(lease).saturating_add(self.tolerance);
        ((self.begun + lease).saturating_sub(self.tolerance), ends_by)
    }
}

struct Claim {
    owner: u32,
    fingerprint: u8,
    lease: u64,
    parks: bool,
}

impl Claim {
    fn outcomes(&self, key: Key, moment: Moment) -> Vec<(Key, Answer)> {
        match key {
            Key::Free => vec![self.acquire(1, false, moment)],
            Key::Processing { fingerprint, .. }
            | Key::Released { fingerprint, .. }
            | Key::Finished { fingerprint, .. }
                if fingerprint != self.fingerprint =>
            {
                vec![(key, Answer::Mismatch)]
            }
            Key::Released { fence, .. } => vec![self.acquire(fence + 1, false, moment)],
            Key::Finished { end, .. } => vec![(key, Answer::Replay(end))],
            Key::Processing { owner, fence, recovered, .. } if owner == self.owner => {
                vec![(key, acquired(fence, recovered))]
            }
            Key::Processing { owner, fence, fingerprint, parks, ends_after, ends_by, .. } => {
                let mut outcomes = Vec::new();
                if moment.begun <= ends_by {
                    outcomes.push((key, Answer::InProgress));
                }
                if moment.ended >= ends_after {
                    let end = End::Indeterminate;
                    outcomes.push(if parks {
                        (Key::Finished { owner, fence, fingerprint, end }, Answer::Replay(end))
                    } else {
                        self.acquire(fence + 1, true, moment)
                    });
                }
                outcomes
            }
        }
    }

    fn acquire(&self, fence: u64, recovered: bool, moment: Moment) -> (Key, Answer) {
        let &Self { owner, fingerprint, lease, parks } = self;
        let (ends_after, ends_by) = moment.lease(lease);
        let key = Key::Processing {
            owner,
            fence,
            fingerprint,
            lease,
            parks,
            recovered,
            ends_after,
            ends_by,
        };
        (key, acquired(fence, recovered))
    }
}

fn acquired(fence: u64, recovered: bool) -> Answer {
    if recovered { Answer::Recovered(fence) } else { Answer::Acquired(fence) }
}

fn renew(key: Key, asking: u32, moment: Moment) -> (Key, Answer) {
    let mut renewed = key;
    match &mut renewed {
        Key::Processing { owner, lease, ends_after, ends_by, .. } if *owner == asking => {
            (*ends_after, *ends_by) = moment.lease(*lease);
            (renewed, Answer::Done)
        }
        _ => (key, lost(key)),
    }
}

fn complete(key: Key, asking: u32, end: End) -> (Key, Answer) {
    match key {
        Key::Processing { owner, fence, fingerprint, .. }
        | Key::Finished { owner, fence, fingerprint, end: End::Indeterminate }
            if owner == asking =>
        {
            (Key::Finished { owner, fence, fingerprint, end }, Answer::Done)
        }
        Key::Finished { owner, end: recorded, .. } if owner == asking && recorded == end => {
            (key, Answer::Done)
        }
        _ => (key, lost(key)),
    }
}

fn release(key: Key, asking: u32) -> (Key, Answer) {
    match key {
        Key::Processing { owner, fence, fingerprint, .. } if owner == asking => {
            (Key::Released { owner, fence, fingerprint }, Answer::Done)
        }
        Key::Released { owner, .. } if owner == asking => (key, Answer::Done),
        _ => (key, lost(key)),
    }
}

fn lost(key: Key) -> Answer {
    Answer::Lost(match key {
        Key::Free | Key::Released { .. } => There::Gone,
        Key::Processing { .. } => There::TakenOver,
        Key::Finished { end, .. } => There::Ended(end),
    })
}
