//! Records in this process: for tests, single-process services, and effects that need not survive a
//! restart.
//!
//! All records are lost when the process ends, and other processes do not see them.
//!
//! A sharded map runs [`step`] under the shard's lock. There is no background task: expired
//! records are ignored, and a shard removes its expired records before it grows. A storage at its
//! capacity removes an expired record to make room for a new one; if there is none, it refuses the
//! claim. It never removes a live record to make room.

use std::fmt;
use std::sync::Arc;

use hashbrown::HashTable;

use super::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError,
    StorageErrorKind, Wakeup, Watchers, Written,
};
use crate::clock::{Clock, MonotonicClock};
use crate::fingerprint::Fingerprint;
use crate::key::RecordKey;
use crate::record::{Finished, Record, State, Timestamp};
use crate::storage::transition::{Transition, step};
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, shards};

const SHARDS: usize = shards(64);

/// Records in this process. Clones share the same records.
#[derive(Clone)]
pub struct MemoryStorage(Arc<MemoryTable>);

struct MemoryTable {
    shards: [Mutex<Shard>; SHARDS],
    clock: Box<dyn Clock>,
    watchers: Watchers,
    capacity: usize,
    len: AtomicUsize,
}

struct Shard {
    slots: HashTable<Slot>,
    /// No record expires earlier, so until then there is nothing to remove.
    first_expiry: Timestamp,
}

/// A key with its record. Small, so that a growing table moves little.
struct Slot {
    key: RecordKey,
    /// Empty only while an event is applied.
    record: Box<Option<Record>>,
}

impl Slot {
    fn live(&self, now: Timestamp) -> Option<&Record> {
        self.record.as_ref().as_ref().filter(|record| !record.is_expired(now))
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { slots: HashTable::new(), first_expiry: NEVER }
    }
}

const NEVER: Timestamp = Timestamp::from_millis(u64::MAX);

impl MemoryStorage {
    /// Storage without a capacity limit, on monotonic time.
    pub fn new() -> Self {
        Self::build(MonotonicClock, usize::MAX)
    }

    /// Storage that refuses new claims with [`StorageErrorKind::Full`] while it holds `records`
    /// live records.
    pub fn with_capacity(records: usize) -> Self {
        Self::build(MonotonicClock, records)
    }

    /// Storage on a clock of the caller's, for tests.
    pub fn with_clock(clock: impl Clock) -> Self {
        Self::build(clock, usize::MAX)
    }

    fn build(clock: impl Clock, capacity: usize) -> Self {
        Self(Arc::new(MemoryTable {
            shards: std::array::from_fn(|_| Mutex::default()),
            clock: Box::new(clock),
            watchers: Watchers::new(|_| {}),
            capacity,
            len: AtomicUsize::new(0),
        }))
    }

    /// The number of records, including expired ones that are not removed yet.
    pub fn len(&self) -> usize {
        self.0.len.load(Ordering::Relaxed)
    }

    /// The result that a claim with this fingerprint would replay.
    pub(super) fn replay(&self, key: &RecordKey, fingerprint: &Fingerprint) -> Option<Finished> {
        let finished = |record: &Record| match &record.state {
            State::Finished(finished) if record.fingerprint == *fingerprint => {
                Some(finished.clone())
            }
            _ => None,
        };
        self.0.read(key, finished).flatten()
    }

    /// Whether it holds no record.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl MemoryTable {
    fn shard(&self, hash: u64) -> &Mutex<Shard> {
        // The table inside uses the low and the topmost bits.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }

    /// Runs one event on one record under its shard's lock.
    fn apply<E: Transition>(&self, key: &RecordKey, event: &E) -> Result<E::Reply, StorageError> {
        let hash = key.name_hash();
        let mut shard = self.shard(hash).lock();
        let now = self.clock.now();
        let Shard { slots, first_expiry } = &mut *shard;
        if let Ok(mut entry) = slots.find_entry(hash, |slot| slot.key == *key) {
            let place = &mut *entry.get_mut().record;
            let (record, reply) = step(place.take(), event, now);
            if let Some(record) = record {
                *first_expiry = (*first_expiry).min(record.expires_at);
                *place = Some(record);
            } else {
                entry.remove();
                self.len.fetch_sub(1, Ordering::Relaxed);
            }
            return Ok(reply);
        }
        let (record, reply) = step(None, event, now);
        if let Some(record) = record {
            if self.len.fetch_add(1, Ordering::Relaxed) >= self.capacity {
                self.len.fetch_sub(1, Ordering::Relaxed);
                let full = "the memory storage is at its capacity";
                return Err(StorageError::new(StorageErrorKind::Full, full));
            }
            self.make_room(&mut shard, now);
            shard.first_expiry = shard.first_expiry.min(record.expires_at);
            let slot = Slot { key: key.clone(), record: Box::new(Some(record)) };
            shard.slots.insert_unique(hash, slot, |slot| slot.key.name_hash());
        }
        Ok(reply)
    }

    /// What `read` finds in a live record.
    fn read<T>(&self, key: &RecordKey, read: impl FnOnce(&Record) -> T) -> Option<T> {
        let hash = key.name_hash();
        let shard = self.shard(hash).lock();
        let found = shard.slots.find(hash, |slot| slot.key == *key)?;
        found.live(self.clock.now()).map(read)
    }

    /// Removes a full shard's expired records before it grows. If they are few, the shard grows all
    /// the same; otherwise nearly every claim would sweep a nearly full shard.
    fn make_room(&self, shard: &mut Shard, now: Timestamp) {
        let capacity = shard.slots.capacity();
        if shard.slots.len() == capacity && self.sweep(shard, now, usize::MAX) < capacity / 4 {
            let missing = capacity + 1 - shard.slots.len();
            shard.slots.reserve(missing, |slot| slot.key.name_hash());
        }
    }

    /// Removes at most `limit` expired records.
    fn purge(&self, limit: usize) -> usize {
        let now = self.clock.now();
        let mut left = limit;
        for shard in &self.shards {
            if left == 0 {
                break;
            }
            left -= self.sweep(&mut shard.lock(), now, left);
        }
        limit - left
    }

    /// Removes at most `limit` expired records of one shard.
    fn sweep(&self, shard: &mut Shard, now: Timestamp, limit: usize) -> usize {
        if now < shard.first_expiry {
            return 0;
        }
        let mut removed = 0;
        let mut first_expiry = NEVER;
        shard.slots.retain(|slot| {
            let expires_at = slot.record.as_ref().as_ref().map_or(now, |record| record.expires_at);
            let keep = removed == limit || expires_at > now;
            if keep {
                first_expiry = first_expiry.min(expires_at);
            } else {
                removed += 1;
            }
            keep
        });
        shard.first_expiry = first_expiry;
        self.len.fetch_sub(removed, Ordering::Relaxed);
        removed
    }
}

impl Storage for MemoryStorage {
    fn backend(&self) -> &'static str {
        "memory"
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        match self.0.apply(&claim.key, claim) {
            // Only a claim of a new key is refused. It is retried if an expired record was removed.
            Err(_) if self.0.purge(1) > 0 => self.0.apply(&claim.key, claim),
            answer => answer,
        }
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        renewals.iter().map(|renew| self.0.apply(&renew.key, renew)).collect()
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        let written = self.0.apply(&complete.key, complete)?;
        self.0.watchers.wake(complete.key.as_str());
        Ok(written)
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        let written = self.0.apply(&release.key, release)?;
        self.0.watchers.wake(release.key.as_str());
        Ok(written)
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        Ok(self.0.read(key, Record::clone))
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        Ok(self.0.purge(limit) as u64)
    }

    /// A page is whole shards, so that a cursor is a shard's number; a page may be longer than
    /// `limit`.
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        let start = match after {
            None => 0,
            Some(Cursor(text)) => text.parse().map_err(|_| {
                StorageError::new(StorageErrorKind::Configuration, "not a cursor of this storage")
            })?,
        };
        let now = self.0.clock.now();
        let mut records = Vec::new();
        for (number, shard) in self.0.shards.iter().enumerate().skip(start) {
            let shard = shard.lock();
            let live = shard.slots.iter().filter_map(|slot| Some((slot, slot.live(now)?)));
            records.extend(live.map(|(slot, record)| (slot.key.clone(), Ok(record.clone()))));
            if records.len() >= limit && number + 1 < SHARDS {
                return Ok(Page { records, next: Some(Cursor((number + 1).to_string())) });
            }
        }
        Ok(Page { records, next: None })
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(Some(self.0.watchers.subscribe(key).0))
    }
}

impl Default for MemoryStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStorage").field("len", &self.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod histories;
#[cfg(test)]
mod tests;
