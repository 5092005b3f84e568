//! Random histories against an oracle that knows the guarantees and nothing of the transition
//! table.
//!
//! The oracle believes what owners were told, and checks each answer against it: G1, one result
//! within its retention; G2, one runner while a lease is live; G3, writes by the last owner only,
//! and nothing is resurrected; G7, another fingerprint is a mismatch whatever the state.

use std::time::Duration;

use futures_util::FutureExt;
use proptest::prelude::*;

use super::MemoryStorage;
use crate::clock::{Clock, ManualClock};
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::key::RecordKey;
use crate::record::{CrashPolicy, Failure, Fence, Finish, OwnerId, Timestamp};
use crate::storage::{Claim, Claimed, Complete, Lost, Release, Renew, Storage, Written};

#[derive(Clone, Debug)]
enum Action {
    Claim { operation: u8, lease: u64, ttl: u64, park: bool },
    Renew,
    Complete { result: u64, ttl: u64 },
    Release,
    Purge,
    Elapse(u64),
}

fn action() -> impl Strategy<Value = Action> {
    // Few different values, so that deadlines are met to the millisecond.
    let millis = || prop::sample::select(vec![1_u64, 10, 20, 30, 60]);
    prop_oneof![
        4 => (0..2_u8, millis(), millis(), any::<bool>())
            .prop_map(|(operation, lease, ttl, park)| Action::Claim { operation, lease, ttl, park }),
        2 => Just(Action::Renew),
        3 => (0..3_u64, millis()).prop_map(|(result, ttl)| Action::Complete { result, ttl }),
        1 => Just(Action::Release),
        1 => Just(Action::Purge),
        4 => millis().prop_map(Action::Elapse),
    ]
}

/// What is known of a key from what callers were told.
#[derive(Debug, Default)]
struct Oracle {
    owned: Option<OwnedKey>,
    committed: Option<Committed>,
}

/// The last claim that was acquired and not forgotten.
#[derive(Debug)]
struct OwnedKey {
    claim: Claim,
    fence: Fence,
    recovered: bool,
    released: bool,
    lease_until: Timestamp,
    kept_until: Timestamp,
    parked: bool,
}

/// The end that was recorded for the last claim.
#[derive(Debug)]
struct Committed {
    finish: Finish,
    kept_until: Timestamp,
}

impl Oracle {
    /// Forgets what the storage must have forgotten.
    fn pass(&mut self, now: Timestamp) {
        let kept_until = self.committed.as_ref().map(|committed| committed.kept_until);
        let kept_until = kept_until.or(self.owned.as_ref().map(|owned| owned.kept_until));
        if kept_until.is_some_and(|kept_until| kept_until <= now) {
            *self = Self::default();
        }
    }

    fn claimed(&mut self, claim: &Claim, answer: &Claimed, now: Timestamp) {
        let fingerprint = self.owned.as_ref().map(|owned| owned.claim.fingerprint);
        if fingerprint.is_some_and(|fingerprint| fingerprint != claim.fingerprint) {
            assert_eq!(*answer, Claimed::Mismatch, "G7");
            return;
        }
        if let Some(committed) = &self.committed {
            let Claimed::Replay(replay) = answer else {
                panic!("G1: {answer:?} within the retention of {committed:?}");
            };
            assert_eq!(replay.finish, committed.finish, "G1");
            return;
        }
        match answer {
            Claimed::Acquired { fence, recovered } => {
                if let Some(owned) = &self.owned
                    && owned.claim.owner == claim.owner
                    && !owned.released
                {
                    assert!(*fence == owned.fence && *recovered == owned.recovered);
                    assert!(!owned.parked);
                    return;
                }
                let died = self.owned.as_ref().is_some_and(|owned| !owned.released);
                assert_eq!(*recovered, died, "{:?}", self.owned);
                if let Some(owned) = &self.owned {
                    assert!(owned.released || owned.lease_until <= now, "G2: {owned:?}");
                    assert!(*fence > owned.fence, "{owned:?}");
                    assert!(owned.released || owned.claim.on_crash == CrashPolicy::Retry, "G5");
                }
                let lease_until = now.after(claim.lease);
                self.owned = Some(OwnedKey {
                    claim: claim.clone(),
                    fence: *fence,
                    recovered: *recovered,
                    released: false,
                    lease_until,
                    kept_until: kept_at_work(claim, lease_until),
                    parked: false,
                });
            }
            Claimed::InProgress { lease_left } => {
                let owned = self.owned.as_ref().expect("somebody is at work");
                assert_eq!(now.after(*lease_left), owned.lease_until);
                assert!(!lease_left.is_zero() && !owned.parked && !owned.released, "{owned:?}");
                assert_ne!(owned.claim.owner, claim.owner);
            }
            Claimed::Replay(replay) => {
                assert_eq!(replay.finish, Finish::Failed(Failure::Indeterminate));
                assert!(self.owned.as_ref().is_some_and(|owned| owned.parked), "{self:?}");
            }
            Claimed::Parked(replay) => {
                assert_eq!(replay.finish, Finish::Failed(Failure::Indeterminate));
                let owned = self.owned.as_mut().expect("somebody has died");
                assert!(owned.lease_until <= now && owned.claim.on_crash == CrashPolicy::Park);
                assert!(!owned.parked && !owned.released, "{owned:?}");
                owned.parked = true;
            }
            Claimed::Mismatch => panic!("G7: the same fingerprint, {:?}", self.owned),
        }
    }

    /// Whether `owner` may still say how its operation ended.
    fn is_open_to(&self, owner: OwnerId) -> bool {
        self.committed.is_none()
            && self
                .owned
                .as_ref()
                .is_some_and(|owned| owned.claim.owner == owner && !owned.released)
    }

    fn renewed(&mut self, owner: OwnerId, answer: &Written, now: Timestamp) {
        let parked = self.owned.as_ref().is_some_and(|owned| owned.parked);
        let may = self.is_open_to(owner) && !parked;
        assert_eq!(*answer == Written::Done, may, "G3: {self:?}");
        if let (true, Some(owned)) = (may, &mut self.owned) {
            owned.lease_until = now.after(owned.claim.lease);
            owned.kept_until = kept_at_work(&owned.claim, owned.lease_until);
        }
        self.lost(answer);
    }

    fn completed(&mut self, complete: &Complete, answer: &Written, now: Timestamp) {
        let owner = self.owned.as_ref().map(|owned| owned.claim.owner);
        let again = owner == Some(complete.owner)
            && self.committed.as_ref().is_some_and(|end| end.finish == complete.finish);
        let may = self.is_open_to(complete.owner);
        assert_eq!(*answer == Written::Done, may || again, "G1, G3: {self:?}");
        if may {
            let kept_until = now.after(complete.ttl);
            self.committed = Some(Committed { finish: complete.finish.clone(), kept_until });
        }
        self.lost(answer);
    }

    fn released(&mut self, owner: OwnerId, answer: &Written, now: Timestamp) {
        let parked = self.owned.as_ref().is_some_and(|owned| owned.parked);
        let may = self.is_open_to(owner) && !parked;
        let is_again = |owned: &OwnedKey| owned.released && owned.claim.owner == owner;
        let again = self.owned.as_ref().is_some_and(is_again);
        assert_eq!(*answer == Written::Done, may || again, "G3: {self:?}");
        if let (true, Some(owned)) = (may, &mut self.owned) {
            owned.released = true;
            owned.kept_until = now.after(owned.claim.ttl);
        }
        self.lost(answer);
    }

    /// Who lost its lease is told what is there instead.
    fn lost(&self, answer: &Written) {
        match answer {
            Written::Done => {}
            Written::LeaseLost(Lost::Gone) => {
                assert!(self.owned.as_ref().is_none_or(|owned| owned.released), "{self:?}");
            }
            Written::LeaseLost(Lost::TakenOver) => {
                let at_work = |owned: &OwnedKey| !owned.parked && !owned.released;
                assert!(self.owned.as_ref().is_some_and(at_work));
                assert!(self.committed.is_none(), "{self:?}");
            }
            Written::LeaseLost(Lost::Finished(end)) => match &self.committed {
                Some(committed) => assert_eq!(end.finish, committed.finish, "G1"),
                None => assert!(self.owned.as_ref().is_some_and(|owned| owned.parked)),
            },
        }
    }
}

/// How long the record of an owner at work is kept.
fn kept_at_work(claim: &Claim, lease_until: Timestamp) -> Timestamp {
    match claim.on_crash {
        CrashPolicy::Retry => lease_until.after(claim.ttl),
        CrashPolicy::Park => Timestamp::from_millis(u64::MAX),
    }
}

fn fingerprint(operation: u8) -> Fingerprint {
    Fingerprinter::new(&operation.to_string()).finish()
}

fn now<T>(call: impl Future<Output = T>) -> T {
    call.now_or_never().expect("memory does not wait")
}

fn run(history: Vec<(u8, u8, Action)>) {
    let clock = ManualClock::new();
    let storage = MemoryStorage::with_clock(clock.clone());
    let mut oracles = [Oracle::default(), Oracle::default()];
    for (key, owner, action) in history {
        let at = clock.now();
        for oracle in &mut oracles {
            oracle.pass(at);
        }
        let oracle = &mut oracles[usize::from(key)];
        let (key, owner) =
            (RecordKey::from_stored(key.to_string()), OwnerId::from_bytes([owner; 16]));
        match action {
            Action::Claim { operation, lease, ttl, park } => {
                let [lease, ttl] = [lease, ttl].map(Duration::from_millis);
                let on_crash = if park { CrashPolicy::Park } else { CrashPolicy::Retry };
                let fingerprint = fingerprint(operation);
                let claim = Claim { key, owner, fingerprint, lease, ttl, on_crash };
                oracle.claimed(&claim, &now(storage.claim(&claim)).unwrap(), at);
            }
            Action::Renew => {
                let answers = now(storage.renew(&[Renew { key, owner }]));
                oracle.renewed(owner, answers[0].as_ref().unwrap(), at);
            }
            Action::Complete { result, ttl } => {
                let finish = Finish::Failed(Failure::TooLarge { size: result });
                let complete = Complete { key, owner, finish, ttl: Duration::from_millis(ttl) };
                oracle.completed(&complete, &now(storage.complete(&complete)).unwrap(), at);
            }
            Action::Release => {
                let release = Release { key, owner };
                oracle.released(owner, &now(storage.release(&release)).unwrap(), at);
            }
            Action::Purge => drop(now(storage.purge(usize::MAX)).unwrap()),
            Action::Elapse(millis) => clock.advance(Duration::from_millis(millis)),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_history_keeps_the_guarantees(
        history in prop::collection::vec((0..2_u8, 0..3_u8, action()), 1..80),
    ) {
        run(history);
    }
}
