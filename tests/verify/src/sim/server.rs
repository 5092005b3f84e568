//! The records, and the clock that leases run on.

use std::collections::BTreeMap;

use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, OwnerId, Record, State, Timestamp};
use idem_runtime::storage::transition::step;
use idem_runtime::storage::{Claim, Claimed, Complete, Release, Renew, Written};

/// A mistake, to see that it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// Whoever completes is believed to own the record.
    CompleteByAnybody,
    /// Whoever releases is believed to own the record.
    ReleaseByAnybody,
    /// Others take over as soon as they ask.
    TakeoverTooEarly,
    /// A takeover runs what should be parked.
    TakeoverRunsParked,
    /// A completion is answered and forgotten.
    CompleteIsForgotten,
    /// Another use of the key is not looked at.
    MismatchIsIgnored,
    /// A lease does not end.
    LeaseWithoutEnd,
    /// A release forgets the record, and its fence with it.
    ReleaseForgetsTheFence,
}

impl Bug {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::CompleteByAnybody,
        Self::ReleaseByAnybody,
        Self::TakeoverTooEarly,
        Self::TakeoverRunsParked,
        Self::CompleteIsForgotten,
        Self::MismatchIsIgnored,
        Self::LeaseWithoutEnd,
        Self::ReleaseForgetsTheFence,
    ];
}

/// What a process asks for.
#[derive(Clone, Debug)]
pub enum Request {
    /// See [`Storage::claim`](idem_runtime::storage::Storage::claim).
    Claim(Claim),
    /// See [`Storage::renew`](idem_runtime::storage::Storage::renew).
    Renew(Vec<Renew>),
    /// See [`Storage::complete`](idem_runtime::storage::Storage::complete).
    Complete(Complete),
    /// See [`Storage::release`](idem_runtime::storage::Storage::release).
    Release(Release),
}

impl Request {
    /// The verb, and the first key and owner that it is about.
    pub fn what(&self) -> (&'static str, Option<(&RecordKey, OwnerId)>) {
        match self {
            Self::Claim(claim) => ("claim", Some((&claim.key, claim.owner))),
            Self::Renew(all) => ("renew", all.first().map(|renew| (&renew.key, renew.owner))),
            Self::Complete(complete) => ("complete", Some((&complete.key, complete.owner))),
            Self::Release(release) => ("release", Some((&release.key, release.owner))),
        }
    }

    /// The key that others may have waited for, if this is done.
    pub fn frees(&self) -> Option<&RecordKey> {
        match self {
            Self::Claim(_) | Self::Renew(_) => None,
            Self::Complete(complete) => Some(&complete.key),
            Self::Release(release) => Some(&release.key),
        }
    }
}

/// What it is told.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The server's answer to a claim.
    Claimed(Claimed),
    /// Its answer to each write.
    Written(Vec<Written>),
    /// The server was not reached.
    Refused,
    /// The connection broke.
    Reset,
}

/// The server.
#[derive(Debug)]
pub struct Server {
    records: BTreeMap<String, Record>,
    /// By how much its clock is ahead of the world's, in milliseconds.
    pub ahead: i64,
    bug: Option<Bug>,
}

impl Server {
    /// A server without records.
    pub fn new(bug: Option<Bug>) -> Self {
        Self { records: BTreeMap::new(), ahead: 0, bug }
    }

    /// What its clock shows.
    pub fn clock(&self, now: u64) -> Timestamp {
        const LONG_AGO: u64 = 1_000_000_000;
        Timestamp::from_millis((LONG_AGO + now).saturating_add_signed(self.ahead))
    }

    /// The record of the key of this number.
    pub fn record_of(&self, key: usize) -> Option<&Record> {
        let ending = format!("k{key}");
        self.records.iter().find(|(name, _)| name.ends_with(&ending)).map(|(_, record)| record)
    }

    fn owner(&self, name: &str) -> Option<OwnerId> {
        self.records.get(name).map(|record| record.owner)
    }

    /// The answer to a request.
    pub fn answer(&mut self, request: &Request, now: u64) -> Reply {
        match request {
            Request::Claim(claim) => Reply::Claimed(self.claim(claim, now)),
            Request::Renew(renewals) => Reply::Written(
                renewals
                    .iter()
                    .map(|renew| {
                        self.write(renew.key.as_str(), |record, at| step(record, renew, at), now)
                    })
                    .collect(),
            ),
            Request::Complete(complete) => {
                Reply::Written(vec![self.complete(complete.clone(), now)])
            }
            Request::Release(release) => Reply::Written(vec![self.release(release.clone(), now)]),
        }
    }

    fn complete(&mut self, mut complete: Complete, now: u64) -> Written {
        let name = complete.key.clone();
        let before = self.records.get(name.as_str()).cloned();
        if self.bug == Some(Bug::CompleteByAnybody) {
            complete.owner = self.owner(name.as_str()).unwrap_or(complete.owner);
        }
        let written = self.write(name.as_str(), |record, at| step(record, &complete, at), now);
        if let (Some(Bug::CompleteIsForgotten), Some(before)) = (self.bug, before) {
            self.records.insert(name.as_str().to_owned(), before);
        }
        written
    }

    fn release(&mut self, mut release: Release, now: u64) -> Written {
        let name = release.key.clone();
        if self.bug == Some(Bug::ReleaseByAnybody) {
            release.owner = self.owner(name.as_str()).unwrap_or(release.owner);
        }
        let written = self.write(name.as_str(), |record, at| step(record, &release, at), now);
        if self.bug == Some(Bug::ReleaseForgetsTheFence) && written == Written::Done {
            self.records.remove(name.as_str());
        }
        written
    }

    fn claim(&mut self, claim: &Claim, now: u64) -> Claimed {
        let mut claim = claim.clone();
        let bug = self.bug;
        let mut at = self.clock(now);
        if let Some(Record { owner, fingerprint, state, .. }) =
            self.records.get_mut(claim.key.as_str())
        {
            match (bug, state) {
                (Some(Bug::TakeoverTooEarly), State::Processing { lease, .. })
                    if *owner != claim.owner =>
                {
                    at = at.after(*lease);
                }
                (Some(Bug::TakeoverRunsParked), State::Processing { on_crash, .. }) => {
                    *on_crash = CrashPolicy::Retry;
                }
                (Some(Bug::MismatchIsIgnored), _) => claim.fingerprint = *fingerprint,
                _ => {}
            }
        }
        if bug == Some(Bug::LeaseWithoutEnd) {
            claim.lease = claim.ttl;
        }
        let name = claim.key.as_str().to_owned();
        let (after, claimed) = step(self.records.remove(&name), &claim, at);
        if let Some(after) = after {
            self.records.insert(name, after);
        }
        claimed
    }

    fn write(
        &mut self,
        name: &str,
        write: impl FnOnce(Option<Record>, Timestamp) -> (Option<Record>, Written),
        now: u64,
    ) -> Written {
        let at = self.clock(now);
        let (after, written) = write(self.records.remove(name), at);
        if let Some(after) = after {
            self.records.insert(name.to_owned(), after);
        }
        written
    }
}
