//! The storage around the transitions.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::clock::{Clock, MonotonicClock};
use idem_runtime::key::RecordKey;
use idem_runtime::record::{OwnerId, Record, State, Status, Timestamp};
use idem_runtime::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError,
    StorageErrorKind, Wakeup, Watchers, Written,
};
use idem_runtime::testing::{ManualClock, Verb};
use parking_lot::Mutex;

use super::decide;
use super::flaw::Flaw;

/// What is stored: a record, or what reading it says.
type Stored = Result<Record, StorageErrorKind>;

/// What is lost on the way.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Loss {
    Request,
    Reply,
    Commit,
}

/// What makes the clock go on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Runs {
    ByHand,
    ByItself,
    /// With the runtime's time, which may be paused.
    WithTokio(tokio::time::Instant),
}

/// One handle.
pub(crate) struct Flawed {
    pub(super) flaw: Flaw,
    pub(crate) clock: ManualClock,
    runs: Runs,
    pub(super) data: Arc<Data>,
    pub(super) losses: Mutex<VecDeque<Loss>>,
    /// Its own, where all handles should have one together.
    lock: tokio::sync::Mutex<()>,
    remembered: Mutex<BTreeMap<RecordKey, Record>>,
    own_watchers: Mutex<BTreeMap<RecordKey, Watchers>>,
}

/// What all handles share.
#[derive(Default)]
pub(super) struct Data {
    pub(super) records: Mutex<BTreeMap<RecordKey, Stored>>,
    /// What is on the disk.
    pub(super) kept: Mutex<BTreeMap<RecordKey, Stored>>,
    hasher: RandomState,
    watchers: Mutex<BTreeMap<RecordKey, Watchers>>,
}

/// Long enough for another call to slip in between two steps.
const GAP: Duration = Duration::from_millis(4);
/// Longer than a verb may hold its thread.
const BLOCKED: Duration = Duration::from_millis(7);

fn error(kind: StorageErrorKind) -> StorageError {
    StorageError::new(kind, "as the test has it")
}

impl Flawed {
    pub(crate) fn new(flaw: Flaw) -> Self {
        let runs = if flaw == Flaw::WallClock { Runs::ByItself } else { Runs::ByHand };
        Self::on(flaw, ManualClock::new(), runs, Arc::default())
    }

    /// On a clock that runs by itself.
    pub(crate) fn in_real_time(flaw: Flaw) -> Self {
        Self { runs: Runs::ByItself, ..Self::new(flaw) }
    }

    /// On a clock that runs with the runtime's time.
    pub(super) fn with_tokio(flaw: Flaw) -> Self {
        Self { runs: Runs::WithTokio(tokio::time::Instant::now()), ..Self::new(flaw) }
    }

    fn on(flaw: Flaw, clock: ManualClock, runs: Runs, data: Arc<Data>) -> Self {
        Self {
            flaw,
            clock,
            runs,
            data,
            losses: Mutex::default(),
            lock: tokio::sync::Mutex::default(),
            remembered: Mutex::default(),
            own_watchers: Mutex::default(),
        }
    }

    /// Another handle on the same data.
    pub(super) fn handle(&self) -> Self {
        Self::on(self.flaw, self.clock.clone(), self.runs, Arc::clone(&self.data))
    }

    /// A handle on what is on the disk.
    pub(super) fn reopen(self) -> Self {
        let mut kept = self.data.kept.lock().clone();
        for record in kept.values_mut().flatten() {
            match (self.flaw, &mut record.state) {
                (Flaw::LeasesStartAgainAtReopen, State::Processing { lease, lease_until, .. }) => {
                    *lease_until = self.now().after(*lease);
                }
                (Flaw::RetentionsStartAgainAtReopen, _) => {
                    record.expires_at = self.now().after(Duration::from_secs(600));
                }
                _ => {}
            }
        }
        let data =
            Data { records: Mutex::new(kept.clone()), kept: Mutex::new(kept), ..Data::default() };
        Self::on(self.flaw, self.clock.clone(), self.runs, Arc::new(data))
    }

    pub(super) fn runs_by_hand(&self) -> bool {
        matches!(self.runs, Runs::ByHand)
    }

    pub(super) fn now(&self) -> Timestamp {
        match self.runs {
            Runs::ByHand => self.clock.now(),
            Runs::ByItself => MonotonicClock.now(),
            Runs::WithTokio(start) => {
                let millis = u64::try_from(start.elapsed().as_millis()).unwrap();
                self.clock.now().after(Duration::from_millis(millis))
            }
        }
    }

    fn is_expired(&self, record: &Record, now: Timestamp) -> bool {
        match self.flaw {
            Flaw::NeverExpires => false,
            Flaw::RetentionEndsEarly(by) => record.is_expired(now.after(Duration::from_millis(by))),
            Flaw::RetentionEndsLate(by) => {
                record.is_expired(Timestamp::from_millis(now.as_millis() - by))
            }
            _ => record.is_expired(now),
        }
    }

    fn named(&self, key: &RecordKey) -> RecordKey {
        let name = key.as_str();
        match self.flaw {
            Flaw::KeysIgnoreCase => RecordKey::from_stored(name.to_lowercase()),
            Flaw::KeysAreTrimmed => RecordKey::from_stored(name.trim_end()),
            Flaw::KeysAreCut => RecordKey::from_stored(name.chars().take(255).collect::<String>()),
            _ => key.clone(),
        }
    }

    /// One decision on one record, in one step or, flawed, in two.
    async fn decide<T>(
        &self,
        verb: Verb,
        key: &RecordKey,
        decide: impl Fn(Option<Record>, Timestamp) -> decide::Decision<T> + Send,
    ) -> Result<T, StorageError> {
        let loss = self.losses.lock().pop_front();
        if loss == Some(Loss::Request) {
            return Err(error(match self.flaw {
                Flaw::LostRequestIsFinal => StorageErrorKind::Configuration,
                _ => StorageErrorKind::Indeterminate,
            }));
        }
        if self.flaw == Flaw::BlocksItsThread(verb) {
            std::thread::sleep(BLOCKED);
        }
        let key = self.named(key);
        let answer = if self.flaw == Flaw::GetThenSet(verb) {
            let before = self.read(&key)?;
            tokio::time::sleep(GAP).await;
            let (after, answer) = decide(before, self.now());
            self.write(verb, &key, after);
            answer
        } else if self.flaw == Flaw::MutexPerHandle {
            let _lock = self.lock.lock().await;
            let before = self.read(&key)?;
            tokio::time::sleep(GAP).await;
            let (after, answer) = decide(before, self.now());
            self.write(verb, &key, after);
            answer
        } else if self.flaw == Flaw::HalfWritten(verb) {
            let (after, answer) = {
                let before = self.read(&key)?;
                let decision = decide(before.clone(), self.now());
                self.write(verb, &key, half(verb, before.or(decision.0.clone())));
                decision
            };
            tokio::time::sleep(GAP).await;
            self.write(verb, &key, after);
            answer
        } else {
            // One lock for all: the records' own is taken only inside.
            let now = self.now();
            let mut records = self.data.records.lock();
            let mut before = self.readable(records.get(&key), now)?;
            if before.is_none() && records.get(&key).is_some_and(Result::is_err) {
                // Only an unreadable record that flawed reading took for none comes here.
                records.remove(&key);
            }
            if let (Flaw::RenewResurrectsExpired, Verb::Renew, Some(Ok(record))) =
                (self.flaw, verb, records.get(&key))
            {
                let expires_at = now.after(Duration::from_secs(600));
                before = Some(Record { expires_at, ..record.clone() });
            }
            if self.flaw == Flaw::HandleRemembers
                && let Some(remembered) = self.remembered.lock().get(&key)
            {
                before = Some(remembered.clone()).filter(|record| !record.is_expired(now));
            }
            let (after, answer) = decide(before, now);
            if let (Flaw::HandleRemembers, Some(record)) = (self.flaw, &after) {
                self.remembered.lock().insert(key.clone(), record.clone());
            }
            if loss == Some(Loss::Commit) {
                if self.flaw == Flaw::FailedCommitIsDone {
                    return Ok(answer);
                }
                if let (Flaw::FailedCommitStaysInMemory, Some(record)) = (self.flaw, &after) {
                    records.insert(key, Ok(record.clone()));
                    return Err(error(StorageErrorKind::Indeterminate));
                }
                if self.flaw == Flaw::FailedCommitIsNotApplied {
                    self.keep(verb, &mut records, &key, after);
                    return Err(error(StorageErrorKind::NotApplied));
                }
                return Err(error(StorageErrorKind::Indeterminate));
            }
            let is_there = match (&after, records.get(&key)) {
                (Some(after), Some(Ok(there))) => after == there,
                _ => false,
            };
            // Who finds what stayed in the memory must not bring it to the disk by chance.
            if !(is_there && self.flaw == Flaw::FailedCommitStaysInMemory) {
                self.keep(verb, &mut records, &key, after);
            }
            answer
        };
        if loss == Some(Loss::Reply) {
            return Err(error(match self.flaw {
                Flaw::LostReplyIsNotApplied => StorageErrorKind::NotApplied,
                _ => StorageErrorKind::Indeterminate,
            }));
        }
        Ok(answer)
    }

    fn readable(
        &self,
        stored: Option<&Stored>,
        now: Timestamp,
    ) -> Result<Option<Record>, StorageError> {
        match stored {
            None => Ok(None),
            Some(Ok(record)) if self.is_expired(record, now) => Ok(None),
            Some(Ok(record)) => {
                let mut record = record.clone();
                if self.flaw == Flaw::NeverExpires {
                    record.expires_at = Timestamp::from_millis(u64::MAX);
                }
                Ok(Some(record))
            }
            Some(Err(_)) if self.flaw == Flaw::UnreadableIsNone => Ok(None),
            Some(Err(_)) if self.flaw == Flaw::NewerVersionIsCorrupt => {
                Err(error(StorageErrorKind::Corrupt))
            }
            Some(Err(kind)) => Err(error(*kind)),
        }
    }

    fn read(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.readable(self.data.records.lock().get(key), self.now())
    }

    fn write(&self, verb: Verb, key: &RecordKey, record: Option<Record>) {
        self.keep(verb, &mut self.data.records.lock(), key, record);
    }

    /// Writes to the records and, unless it is flawed, to the disk.
    fn keep(
        &self,
        verb: Verb,
        records: &mut BTreeMap<RecordKey, Stored>,
        key: &RecordKey,
        record: Option<Record>,
    ) {
        let mut kept = self.data.kept.lock();
        let is_kept = !matches!(self.flaw, Flaw::NothingIsKept) && self.flaw != Flaw::NotKept(verb);
        if let Some(record) = record {
            if is_kept {
                kept.insert(key.clone(), Ok(record.clone()));
            }
            records.insert(key.clone(), Ok(record));
        } else {
            if is_kept {
                kept.remove(key);
            }
            records.remove(key);
        }
    }

    fn watchers(&self) -> &Mutex<BTreeMap<RecordKey, Watchers>> {
        match self.flaw {
            Flaw::WatchersPerHandle => &self.own_watchers,
            _ => &self.data.watchers,
        }
    }

    fn wake(&self, key: &RecordKey) {
        if self.flaw == Flaw::NeverWakes {
            return;
        }
        if let Some(watchers) = self.watchers().lock().get(key) {
            watchers.wake(key.as_str());
        }
    }

    /// Wakes before the change, and gives who waits the time to see that there is none.
    async fn wake_too_early(&self, key: &RecordKey) {
        if self.flaw == Flaw::WakesBeforeTheCommit {
            self.wake(key);
            tokio::time::sleep(GAP).await;
        }
    }
}

/// What a verb that writes twice leaves for a moment.
fn half(verb: Verb, record: Option<Record>) -> Option<Record> {
    let mut record = record?;
    match verb {
        Verb::Claim => {
            if let State::Processing { lease, ttl, .. } = &mut record.state {
                *lease = Duration::ZERO;
                *ttl = Duration::ZERO;
            }
            Some(record)
        }
        Verb::Release => {
            record.owner = OwnerId::from_bytes([0; 16]);
            Some(record)
        }
        _ => None,
    }
}

impl Storage for Flawed {
    fn backend(&self) -> &'static str {
        "flawed"
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        let flaw = self.flaw;
        let whole = |record, now| decide::claim(flaw, record, claim, now);
        // A duration that is rounded down to nothing ends at once.
        if flaw == Flaw::WholeMillis && claim.lease < Duration::from_millis(1) {
            return Err(error(StorageErrorKind::Configuration));
        }
        self.decide(Verb::Claim, &claim.key, whole).await
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        let flaw = self.flaw;
        let mut answers = Vec::new();
        for renew in renewals {
            let whole = |record, now| decide::renew(flaw, record, renew, now);
            answers.push(self.decide(Verb::Renew, &renew.key, whole).await);
            let lost = !matches!(answers.last(), Some(Ok(Written::Done)));
            if flaw == Flaw::RenewStopsAtTheFirstLoss && lost
                || flaw == Flaw::RenewTakesTheFirstHundred && answers.len() == 100
            {
                break;
            }
        }
        if flaw == Flaw::RenewAnswersDoneFirst {
            answers.sort_by_key(|answer| !matches!(answer, Ok(Written::Done)));
        }
        if flaw == Flaw::RenewAnswersAtLeastOnce && answers.is_empty() {
            answers.push(Ok(Written::Done));
        }
        if flaw == Flaw::UnreadableFailsTheBatch
            && let Some(failed) = answers.iter().find_map(|answer| answer.clone().err())
        {
            return vec![Err(failed); renewals.len()];
        }
        answers
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        let flaw = self.flaw;
        let whole = |record, now| decide::complete(flaw, record, complete, now);
        self.wake_too_early(&complete.key).await;
        let answer = self.decide(Verb::Complete, &complete.key, whole).await;
        if !matches!(flaw, Flaw::CompleteDoesNotWake | Flaw::WakesBeforeTheCommit) {
            self.wake(&complete.key);
        }
        answer
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        let flaw = self.flaw;
        if flaw == Flaw::UnreadableIsRemovedByRelease {
            let mut records = self.data.records.lock();
            if records.get(&release.key).is_some_and(Result::is_err) {
                records.remove(&release.key);
                return Ok(Written::Done);
            }
        }
        let whole = |record, now| decide::release(flaw, record, release, now);
        self.wake_too_early(&release.key).await;
        let answer = self.decide(Verb::Release, &release.key, whole).await;
        if !matches!(flaw, Flaw::ReleaseDoesNotWake | Flaw::WakesBeforeTheCommit) {
            self.wake(&release.key);
        }
        answer
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        let key = self.named(key);
        let stored = self.data.records.lock().get(&key).cloned();
        if let (Flaw::LoadShowsExpired, Some(Ok(record))) = (self.flaw, &stored) {
            return Ok(Some(record.clone()));
        }
        let mut record = self.readable(stored.as_ref(), self.now())?;
        if let (Flaw::LoadForgetsTheEnd, Some(Record { state: State::Finished(end), .. })) =
            (self.flaw, &mut record)
        {
            end.at = Timestamp::from_millis(0);
        }
        if self.flaw == Flaw::LoadMakesARecord && record.is_none() {
            let owner = OwnerId::from_bytes([0; 16]);
            return Ok(Some(decide::resurrected(owner, self.now())));
        }
        Ok(record)
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        if self.flaw == Flaw::PurgeDoesNothing {
            return Ok(0);
        }
        let now = self.now();
        let mut records = self.data.records.lock();
        if self.flaw == Flaw::PurgeStopsAtUnreadable
            && let Some(kind) = records.values().find_map(|stored| stored.as_ref().err())
        {
            return Err(error(*kind));
        }
        let all = match self.flaw {
            Flaw::PurgeIgnoresTheLimit | Flaw::PurgeIgnoresTheLimitQuietly => true,
            Flaw::PurgeOfNoneRemovesAll => limit == 0,
            _ => false,
        };
        let is_over = |record: &Record| matches!(record.state, State::Processing { lease_until, .. } if lease_until <= now);
        let removed: Vec<_> = records
            .iter()
            .filter(|(_, stored)| {
                stored.as_ref().map_or(self.flaw == Flaw::PurgeRemovesUnreadable, |record| {
                    self.is_expired(record, now)
                        || self.flaw == Flaw::PurgeRemovesDeadOwners && is_over(record)
                })
            })
            .map(|(key, _)| key.clone())
            .take(if all { usize::MAX } else { limit })
            .collect();
        let mut kept = self.data.kept.lock();
        for key in &removed {
            records.remove(key);
            kept.remove(key);
        }
        Ok(match self.flaw {
            Flaw::PurgeAnswersNone => 0,
            Flaw::PurgeAnswersTheLimit if !removed.is_empty() => limit as u64,
            Flaw::PurgeIgnoresTheLimitQuietly | Flaw::PurgeOfNoneRemovesAll => {
                removed.len().min(limit) as u64
            }
            _ => removed.len() as u64,
        })
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        let now = self.now();
        let limit = if self.flaw == Flaw::ScanOfNoneIsEmpty { limit } else { limit.max(1) };
        let by_position =
            matches!(self.flaw, Flaw::ScanCountsPositions | Flaw::ScanOrderChangesAsRecordsCome);
        let mut records: Vec<_> = self.data.records.lock().clone().into_iter().collect();
        if self.flaw == Flaw::ScanOrderChangesAsRecordsCome {
            // As the slots of a hash table do when it grows.
            let slots = records.len() as u64;
            records.sort_by_key(|(key, _)| self.data.hasher.hash_one(key) % slots);
        }
        let mut left = records.iter().enumerate().filter(|(position, (key, _))| match after {
            None => true,
            Some(Cursor(after)) if by_position => {
                after.parse().is_ok_and(|after: usize| *position > after)
            }
            Some(Cursor(after)) => key.as_str() > after.as_str(),
        });
        if let (Flaw::ScanPanicsOnAForeignCursor, Some(Cursor(after))) = (self.flaw, after) {
            assert!(after.contains("conformance"), "a cursor of its own");
        }
        if self.flaw == Flaw::ScanSkipsBetweenPages && after.is_some() {
            left.next();
        }
        let page: Vec<_> = left.by_ref().take(limit).collect();
        let last = page.last().map(|(position, (key, _))| {
            if by_position { Cursor(position.to_string()) } else { Cursor(key.as_str().to_owned()) }
        });
        let next = left.next().and(last);
        let shown = |stored: &Stored| match (self.flaw, stored) {
            (Flaw::ScanShowsExpired, _) => true,
            (Flaw::ScanHidesUnreadable, Err(_)) => false,
            (Flaw::ScanHidesFailed, Ok(record)) if record.status() == Status::Failed => false,
            (_, Ok(record)) => !self.is_expired(record, now),
            (_, Err(_)) => true,
        };
        let records = page
            .into_iter()
            .filter(|(_, (_, stored))| shown(stored))
            .map(|(_, (key, stored))| (key.clone(), stored.clone().map_err(error)))
            .collect();
        Ok(Page { records, next })
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        if self.flaw == Flaw::WatchOfAFreeKeyIsNone && !self.data.records.lock().contains_key(key) {
            return Ok(None);
        }
        let mut watchers = self.watchers().lock();
        if self.flaw == Flaw::OnlyTheLastWatcherWakes {
            watchers.remove(key);
        }
        let of_key = watchers.entry(key.clone()).or_insert_with(|| Watchers::new(|_| {}));
        Ok(Some(of_key.subscribe(key).0))
    }
}
