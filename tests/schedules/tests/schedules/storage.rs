//! The storage that processes share.

use idem_shuttle::internal::mistake::{self, Mistake};
use idem_shuttle::internal::time::VirtualClock;
use idem_shuttle::key::RecordKey;
use idem_shuttle::record::Record;
use idem_shuttle::storage::{
    Claim, Claimed, Complete, Cursor, MemoryStorage, Page, Release, Renew, Storage, StorageError,
    Wakeup, Watchers, Written,
};

/// The memory storage, with the mistakes that a storage can make.
#[derive(Clone)]
pub(crate) struct TestStorage {
    records: MemoryStorage,
    /// Woken in place of the records' own, when that is to be too early.
    watchers: Watchers,
}

pub(crate) fn storage() -> TestStorage {
    TestStorage {
        records: MemoryStorage::with_clock(VirtualClock),
        watchers: Watchers::new(|_| {}),
    }
}

fn wakes_early() -> bool {
    mistake::is(Mistake::WakesBeforeItWrites)
}

impl Storage for TestStorage {
    fn backend(&self) -> &'static str {
        self.records.backend()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        self.records.claim(claim).await
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        self.records.renew(renewals).await
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        if wakes_early() {
            self.watchers.wake(complete.key.as_str());
        }
        self.records.complete(complete).await
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        if mistake::is(Mistake::KeepsReleased) {
            return Ok(Written::Done);
        }
        if wakes_early() {
            self.watchers.wake(release.key.as_str());
        }
        self.records.release(release).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.records.load(key).await
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        self.records.purge(limit).await
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.records.scan(after, limit).await
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        if wakes_early() {
            return Ok(Some(self.watchers.subscribe(key).0));
        }
        self.records.watch(key).await
    }
}
