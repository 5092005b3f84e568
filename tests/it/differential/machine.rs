//! The state machine as a reference: what may be asked of a key, and what the transition table answers.

use std::fmt;
use std::time::Duration;

use idem_runtime::codec::CodecTag;
use idem_runtime::engine::state::{Event, step};
use idem_runtime::record::{
    CrashPolicy, Failure, Finish, OwnerId, Payload, Record, State, Timestamp,
};
use idem_runtime::storage::{Claim, Claimed, Complete, Lost, Release, Renew, Written};
use idem_runtime::{Fingerprint, RecordKey};
use proptest::prelude::*;
use proptest_state_machine::ReferenceStateMachine;

/// One thing that is asked, or time that passes. All durations are multiples of 5 seconds.
#[derive(Clone)]
pub(super) enum Step {
    Claim { owner: u8, arguments: u8, lease: u64, ttl: u64, park: bool },
    Renew { owner: u8 },
    Complete { owner: u8, finish: usize, ttl: u64 },
    Release { owner: u8 },
    Pass { seconds: u64 },
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Claim { owner, arguments, lease, ttl, park } => {
                let crash = if park { "parks" } else { "is tried again" };
                write!(
                    f,
                    "owner {owner} claims for call {arguments}, lease {lease} s, ttl {ttl} s, a crash {crash}"
                )
            }
            Self::Renew { owner } => write!(f, "owner {owner} renews"),
            Self::Complete { owner, finish, ttl } => {
                write!(f, "owner {owner} ends it with no. {finish} for {ttl} s")
            }
            Self::Release { owner } => write!(f, "owner {owner} releases"),
            Self::Pass { seconds } => write!(f, "{seconds} s pass"),
        }
    }
}

/// A key in the model.
#[derive(Clone, Debug)]
pub(super) struct Model {
    record: Option<Record>,
    now: Timestamp,
}

impl Model {
    pub(super) fn new() -> Self {
        Self { record: None, now: Timestamp::from_millis(1_767_225_600_000) }
    }

    /// What an answer to this step says.
    pub(super) fn answer(&mut self, asked: &Step, key: &RecordKey) -> String {
        match asked.verb(key) {
            Verb::Claim(claim) => tell_claimed(self.step(&claim)),
            Verb::Renew(renew) => tell_written(self.step(&renew)),
            Verb::Complete(complete) => tell_written(self.step(&complete)),
            Verb::Release(release) => tell_written(self.step(&release)),
            Verb::Pass(time) => {
                self.now = self.now.after(time);
                String::new()
            }
        }
    }

    fn step<E: Event>(&mut self, event: &E) -> E::Reply {
        let (record, reply) = step(self.record.take(), event, self.now);
        self.record = record;
        reply
    }

    /// What is there.
    pub(super) fn there(&self) -> String {
        let live = self.record.clone().filter(|record| !record.is_expired(self.now));
        tell_record(live, self.now)
    }
}

impl ReferenceStateMachine for Model {
    type State = Self;
    type Transition = Step;

    fn init_state() -> BoxedStrategy<Self> {
        Just(Self::new()).boxed()
    }

    fn transitions(state: &Self) -> BoxedStrategy<Step> {
        // Half of the time who asks is who owns the key.
        let owner = state.record.as_ref().map_or(0, |record| record.owner.to_bytes()[0]);
        let owner = || prop_oneof![Just(owner), 0..3_u8];
        let seconds = |of: &'static [u64]| prop::sample::select(of);
        // Most claims are of the same call.
        let arguments = prop_oneof![9 => Just(0_u8), 1 => Just(1)];
        let claim =
            (owner(), arguments, seconds(&[60, 120]), seconds(&[0, 90, 1000]), any::<bool>());
        let claim = claim.prop_map(|(owner, arguments, lease, ttl, park)| Step::Claim {
            owner,
            arguments,
            lease,
            ttl,
            park,
        });
        let complete = (owner(), 0..finishes().len(), seconds(&[0, 90, 1000]))
            .prop_map(|(owner, finish, ttl)| Step::Complete { owner, finish, ttl });
        prop_oneof![
            4 => claim,
            2 => complete,
            1 => owner().prop_map(|owner| Step::Renew { owner }),
            1 => owner().prop_map(|owner| Step::Release { owner }),
            3 => seconds(&[25, 65, 135, 400]).prop_map(|seconds| Step::Pass { seconds }),
        ]
        .boxed()
    }

    fn apply(mut state: Self, asked: &Step) -> Self {
        state.answer(asked, &RecordKey::from_stored("model"));
        state
    }
}

/// A step as the storage takes it.
pub(super) enum Verb {
    Claim(Claim),
    Renew(Renew),
    Complete(Complete),
    Release(Release),
    Pass(Duration),
}

impl Step {
    pub(super) fn verb(&self, key: &RecordKey) -> Verb {
        let key = key.clone();
        let owned = |number: u8| OwnerId::from_bytes([number; 16]);
        match *self {
            Self::Claim { owner, arguments, lease, ttl, park } => Verb::Claim(Claim {
                key,
                owner: owned(owner),
                fingerprint: Fingerprint::of("charge", &arguments).unwrap(),
                lease: Duration::from_secs(lease),
                ttl: Duration::from_secs(ttl),
                on_crash: if park { CrashPolicy::Park } else { CrashPolicy::Retry },
            }),
            Self::Renew { owner } => Verb::Renew(Renew { key, owner: owned(owner) }),
            Self::Complete { owner, finish, ttl } => Verb::Complete(Complete {
                key,
                owner: owned(owner),
                finish: finishes().swap_remove(finish),
                ttl: Duration::from_secs(ttl),
            }),
            Self::Release { owner } => Verb::Release(Release { key, owner: owned(owner) }),
            Self::Pass { seconds } => Verb::Pass(Duration::from_secs(seconds)),
        }
    }
}

fn finishes() -> Vec<Finish> {
    let payload =
        |text: &'static str| Payload { codec: CodecTag::new("json").unwrap(), bytes: text.into() };
    let failed = |typed| Failure::Error { message: "no\0".to_owned(), typed };
    vec![
        Finish::Completed(payload("1")),
        Finish::Completed(payload("")),
        Finish::Failed(failed(None)),
        Finish::Failed(failed(Some(payload("{}")))),
        Finish::Failed(Failure::TooLarge { size: 1 << 40 }),
        Finish::Failed(Failure::Unserializable),
        Finish::Failed(Failure::Indeterminate),
    ]
}

/// The number of an end: payloads and messages are not in `Debug`.
fn number(finish: &Finish) -> String {
    let number = finishes().iter().position(|known| known == finish);
    number
        .map_or_else(|| "an end that nobody recorded".to_owned(), |number| format!("no. {number}"))
}

pub(super) fn tell_claimed(claimed: Claimed) -> String {
    match claimed {
        Claimed::Acquired { fence, recovered } => {
            let from = if recovered { "from the dead" } else { "free" };
            format!("acquired {from}, fence {fence}")
        }
        Claimed::InProgress { lease_left } => format!("in progress for {}", seconds(lease_left)),
        Claimed::Replay(finished) => format!("replay of {}", number(&finished.finish)),
        Claimed::Parked(finished) => format!("parked as {}", number(&finished.finish)),
        Claimed::Mismatch => "mismatch".to_owned(),
    }
}

pub(super) fn tell_written(written: Written) -> String {
    match written {
        Written::Done => "done".to_owned(),
        Written::LeaseLost(Lost::Gone) => "lost, gone".to_owned(),
        Written::LeaseLost(Lost::TakenOver) => "lost, taken over".to_owned(),
        Written::LeaseLost(Lost::Finished(finished)) => {
            format!("lost, it ended with {}", number(&finished.finish))
        }
    }
}

pub(super) fn tell_record(record: Option<Record>, now: Timestamp) -> String {
    let Some(Record { fingerprint, owner, fence, state, expires_at }) = record else {
        return "nothing".to_owned();
    };
    let kept = match expires_at {
        Timestamp::NEVER => "ever".to_owned(),
        expires_at => seconds(expires_at.left_at(now)),
    };
    let state = match state {
        State::Processing { lease, ttl, on_crash, lease_until, recovered } => {
            let left = seconds(lease_until.left_at(now));
            let from = if recovered { ", from the dead" } else { "" };
            format!("in progress for {left} of {lease:?}, ttl {ttl:?}, {on_crash:?}{from}")
        }
        State::Released => "released".to_owned(),
        State::Finished(finished) => format!("ended with {}", number(&finished.finish)),
    };
    let (owner, call) = (owner.to_bytes()[0], &fingerprint.to_string()[..8]);
    format!("{state}, by owner {owner} with fence {fence} for call {call}, kept for {kept}")
}

/// To 5 seconds, of which every duration is a multiple: the test itself takes less.
fn seconds(left: Duration) -> String {
    format!("{} s", left.as_millis().div_ceil(5000) * 5)
}
