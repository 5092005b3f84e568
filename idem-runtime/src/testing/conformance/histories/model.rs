//! The table as a reference model: the steps of a history, and the table's answers.

use std::fmt;
use std::time::Duration;

use super::known::{call, finishes, owner_id, owner_number};
use super::render::{Precision, render_written};
use crate::key::RecordKey;
use crate::record::{CrashPolicy, Record, State, Timestamp};
use crate::storage::transition::{Transition, step};
use crate::storage::{Claim, Complete, Release, Renew};

/// One verb, or passing time.
#[derive(Clone, PartialEq)]
pub(super) enum Step {
    Claim { owner: u8, arguments: u8, lease: Duration, ttl: Duration, park: bool },
    Renew { owner: u8 },
    Complete { owner: u8, finish: usize, ttl: Duration },
    Release { owner: u8 },
    Purge,
    Pass(Duration),
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Claim { owner, arguments, lease, ttl, park } => {
                let crash = if park { "parks" } else { "retries" };
                write!(
                    f,
                    "owner {owner} claims for call {arguments}, lease {lease:?}, ttl {ttl:?}, a crash {crash}"
                )
            }
            Self::Renew { owner } => write!(f, "owner {owner} renews"),
            Self::Complete { owner, finish, ttl } => {
                write!(f, "owner {owner} completes with no. {finish}, ttl {ttl:?}")
            }
            Self::Release { owner } => write!(f, "owner {owner} releases"),
            Self::Purge => f.write_str("purge"),
            Self::Pass(time) => write!(f, "{time:?} pass"),
        }
    }
}

/// A step as a call of the storage.
pub(super) enum Verb {
    Claim(Claim),
    Renew(Renew),
    Complete(Complete),
    Release(Release),
    Purge,
    Pass(RecordKey, Duration),
}

impl Step {
    pub(super) fn verb(&self, key: &RecordKey) -> Verb {
        let key = key.clone();
        match *self {
            Self::Claim { owner, arguments, lease, ttl, park } => Verb::Claim(Claim {
                key,
                owner: owner_id(owner),
                fingerprint: call(arguments),
                lease,
                ttl,
                on_crash: if park { CrashPolicy::Park } else { CrashPolicy::Retry },
            }),
            Self::Renew { owner } => Verb::Renew(Renew { key, owner: owner_id(owner) }),
            Self::Complete { owner, finish, ttl } => Verb::Complete(Complete {
                key,
                owner: owner_id(owner),
                finish: finishes().swap_remove(finish),
                ttl,
            }),
            Self::Release { owner } => Verb::Release(Release { key, owner: owner_id(owner) }),
            Self::Purge => Verb::Purge,
            Self::Pass(time) => Verb::Pass(key, time),
        }
    }
}

/// A key in the model.
pub(super) struct Model {
    record: Option<Record>,
    now: Timestamp,
}

impl Model {
    /// The start of the year 2026.
    pub(super) const START: Timestamp = Timestamp::from_millis(1_767_225_600_000);

    pub(super) fn new(now: Timestamp) -> Self {
        Self { record: None, now }
    }

    /// The table's answer to this verb, as text.
    pub(super) fn answer(&mut self, verb: &Verb, precision: Precision) -> String {
        match verb {
            Verb::Claim(claim) => precision.claimed(Ok(self.step(claim))),
            Verb::Renew(renew) => render_written(Ok(self.step(renew))),
            Verb::Complete(complete) => render_written(Ok(self.step(complete))),
            Verb::Release(release) => render_written(Ok(self.step(release))),
            Verb::Purge => String::new(),
            Verb::Pass(_, time) => {
                self.now = self.now.after(*time);
                String::new()
            }
        }
    }

    fn step<E: Transition>(&mut self, event: &E) -> E::Reply {
        let (record, reply) = step(self.record.take(), event, self.now);
        self.record = record;
        reply
    }

    fn live(&self) -> Option<&Record> {
        self.record.as_ref().filter(|record| !record.is_expired(self.now))
    }

    /// The record, as text.
    pub(super) fn record(&self, precision: Precision) -> String {
        precision.record(self.live(), self.now)
    }

    /// The remaining times of the record's deadlines.
    fn deadlines(&self) -> Vec<Duration> {
        let Some(record) = self.live() else { return Vec::new() };
        let lease_until = match &record.state {
            State::Processing { lease_until, .. } => Some(*lease_until),
            _ => None,
        };
        let expires_at = Some(record.expires_at).filter(|at| *at != Timestamp::NEVER);
        let left = lease_until.into_iter().chain(expires_at).map(|at| at.left_at(self.now));
        left.filter(|left| !left.is_zero()).collect()
    }
}

/// The history of a seed.
pub(super) fn history(seed: u64, exact: bool) -> Vec<Step> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut model = Model::new(Model::START);
    let (key, precision) = (RecordKey::from_stored("model"), Precision { exact });
    let length = random.usize(1..24);
    let mut steps = Vec::new();
    for _ in 0..length {
        let step = next(&mut random, &model, exact);
        model.answer(&step.verb(&key), precision);
        steps.push(step);
    }
    steps
}

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// The next step. On an inexact clock all durations are multiples of five seconds.
fn next(random: &mut fastrand::Rng, model: &Model, exact: bool) -> Step {
    let there = model.record.as_ref().map_or(0, |record| owner_number(record.owner));
    // Half of the requests come from the key's owner.
    let owner = if random.bool() { there } else { random.u8(..3) };
    let ttl = |random: &mut fastrand::Rng| {
        let ttls: &[Duration] = if exact {
            &[Duration::ZERO, MILLI, Duration::from_micros(1_500), SECOND * 90, SECOND * 1000]
        } else {
            &[Duration::ZERO, SECOND.saturating_mul(90), SECOND.saturating_mul(1000)]
        };
        ttls[random.usize(..ttls.len())]
    };
    match random.u8(..12) {
        0..=3 => {
            let leases: &[Duration] = if exact {
                &[MILLI, Duration::from_micros(1_500), SECOND * 60, SECOND * 120]
            } else {
                &[SECOND.saturating_mul(60), SECOND.saturating_mul(120)]
            };
            let lease = leases[random.usize(..leases.len())];
            // Most claims are for the same call.
            let arguments = u8::from(random.u8(..10) == 0);
            Step::Claim { owner, arguments, lease, ttl: ttl(random), park: random.bool() }
        }
        4..=5 => {
            Step::Complete { owner, finish: random.usize(..finishes().len()), ttl: ttl(random) }
        }
        6 => Step::Renew { owner },
        7 => Step::Release { owner },
        8 => Step::Purge,
        _ => {
            let deadlines = model.deadlines();
            if exact && !deadlines.is_empty() && random.u8(..3) > 0 {
                let left = deadlines[random.usize(..deadlines.len())];
                return Step::Pass(match random.u8(..3) {
                    0 => left.saturating_sub(MILLI),
                    1 => left,
                    _ => left + MILLI,
                });
            }
            Step::Pass(SECOND * [25, 65, 135, 400][random.usize(..4)])
        }
    }
}
