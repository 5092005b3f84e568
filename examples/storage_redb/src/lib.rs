//! Records in one file, with [redb](https://docs.rs/redb): a whole storage, to be read beside `docs/writing-a-storage.md`.
//!
//! What it can lose: nothing that was answered, as long as the disk keeps what it was told to flush. One process opens the file at a time, and
//! within it the clones of one [`RedbStorage`] share the records and wake each other's waiters.
//!
//! It cannot write after a flush has failed: redb then refuses every write until the file is opened
//! again, since the state on disk is unknown. Recorded results are still replayed; everything else
//! fails, [`ping`](idempotency::Idempotency::ping) included. Use it as the readiness probe, and
//! restart a process that is not ready.
//!
//! ```
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let dir = tempfile::tempdir()?;
//! # let file = dir.path().join("records.redb");
//! use idempotency::Idempotency;
//! use storage_redb::RedbStorage;
//!
//! let idem = Idempotency::builder(RedbStorage::open(file)?).build()?;
//! // Or from configuration files: `redb:/var/lib/app/records.redb`.
//! storage_redb::register()?;
//! # let _ = idem;
//! # Ok(())
//! # }
//! ```

mod error;
pub mod tables;

use std::path::Path;
use std::sync::Arc;

use idempotency::clock::{Clock, MonotonicClock};
use idempotency::key::RecordKey;
use idempotency::record::Record;
use idempotency::storage::transition::{Transition, step};
use idempotency::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError, Wakeup,
    Watchers, Written,
};
use idempotency::{Error, Idempotency};
use redb::Database;

use crate::error::broken_off;
use crate::tables::{Reading, Writing};

/// Records in a file. Clones share them.
#[derive(Clone, Debug)]
pub struct RedbStorage(Arc<Inner>);

struct Inner {
    database: Database,
    clock: Box<dyn Clock>,
    watchers: Watchers,
}

impl std::fmt::Debug for Inner {
    /// Neither keys nor records.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").finish_non_exhaustive()
    }
}

/// Teaches `Idempotency::connect` the scheme `redb`, as in `redb:records.redb`.
///
/// # Errors
///
/// Where it was taught before.
pub fn register() -> Result<(), Error> {
    Idempotency::register_scheme("redb", async |url: String| {
        let file = url.split_once(':').map_or("", |(_, file)| file).to_owned();
        // Opening may repair the file, which takes its time.
        elsewhere(move || RedbStorage::open(file)).await
    })
}

impl RedbStorage {
    /// Opens the file, or makes it.
    ///
    /// # Errors
    ///
    /// Where it cannot be opened: it is no file of redb's, or another process has it open.
    pub fn open(file: impl AsRef<Path>) -> Result<Self, StorageError> {
        let database = Database::create(file).map_err(error::cannot_open)?;
        Self::new(database, MonotonicClock)
    }

    /// A storage in a database that the application may use as well ([`database`](Self::database)), on this clock. Tests have a
    /// [`ManualClock`](https://docs.rs/idempotency/latest/idempotency/testing/struct.ManualClock.html).
    ///
    /// # Errors
    ///
    /// Where the tables cannot be made.
    pub fn new(database: Database, clock: impl Clock) -> Result<Self, StorageError> {
        // Reading needs tables that are there.
        let making = Writing::begin(&database)?;
        making.make_tables()?;
        making.commit()?;
        let watchers = Watchers::new(|_| {});
        Ok(Self(Arc::new(Inner { database, clock: Box::new(clock), watchers })))
    }

    /// The database, for tables of the application's own.
    pub fn database(&self) -> &Database {
        &self.0.database
    }

    /// Does a verb on one record: the transition table decides what it becomes.
    async fn apply<E>(&self, key: &RecordKey, event: &E) -> Result<E::Reply, StorageError>
    where
        E: Transition + Clone + Send + 'static,
        E::Reply: Send + 'static,
    {
        let (inner, key, event) = (Arc::clone(&self.0), key.clone(), event.clone());
        elsewhere(move || inner.apply(&key, &event)).await
    }
}

/// Runs what waits for the disk on a thread that may. It is done to its end even if nobody waits for it any more.
async fn elsewhere<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StorageError> + Send + 'static,
) -> Result<T, StorageError> {
    tokio::task::spawn_blocking(work).await.map_err(broken_off)?
}

impl Inner {
    fn apply<E: Transition>(&self, key: &RecordKey, event: &E) -> Result<E::Reply, StorageError> {
        // What changes nothing, such as a replay, needs neither its turn among the writers nor the disk: it is decided on what was committed.
        let found = Reading::begin(&self.database)?.record(key)?;
        let (after, reply) = step(found.clone(), event, self.clock.now());
        if after == found {
            return Ok(reply);
        }

        // Everything else is one transaction, of which redb runs one at a time. The moment is read inside, after the wait for it.
        let writing = Writing::begin(&self.database)?;
        let found = writing.record(key)?;
        let (after, reply) = step(found.clone(), event, self.clock.now());
        if after == found {
            return Ok(reply);
        }
        writing.replace(key, found.as_ref(), after.as_ref())?;
        // Only what is on the disk is answered.
        writing.commit()?;
        Ok(reply)
    }

    /// A batch in one transaction, since each commit waits for the disk.
    fn renew(
        &self,
        renewals: &[Renew],
    ) -> Result<Vec<Result<Written, StorageError>>, StorageError> {
        let writing = Writing::begin(&self.database)?;
        let now = self.clock.now();
        let mut answers = Vec::with_capacity(renewals.len());
        let mut changed = Vec::new();
        for (position, renew) in renewals.iter().enumerate() {
            let found = match writing.record(&renew.key) {
                Ok(found) => found,
                Err(unreadable) => {
                    answers.push(Err(unreadable));
                    continue;
                }
            };
            let (after, written) = step(found.clone(), renew, now);
            if after != found {
                // Where this fails nothing of the batch is written.
                writing.replace(&renew.key, found.as_ref(), after.as_ref())?;
                changed.push(position);
            }
            answers.push(Ok(written));
        }
        if !changed.is_empty()
            && let Err(unknown) = writing.commit()
        {
            // What the others were told was so before.
            for position in changed {
                answers[position] = Err(unknown.clone());
            }
        }
        Ok(answers)
    }

    /// Writes nothing, and flushes: redb refuses that too once a flush has failed.
    fn ping(&self) -> Result<(), StorageError> {
        Writing::begin(&self.database)?.commit()
    }

    fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        let record = Reading::begin(&self.database)?.record(key)?;
        let now = self.clock.now();
        Ok(record.filter(|record| !record.is_expired(now)))
    }

    fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        if limit == 0 {
            return Ok(0);
        }
        let writing = Writing::begin(&self.database)?;
        let removed = writing.remove_expired(self.clock.now(), limit)?;
        if removed > 0 {
            writing.commit()?;
        }
        Ok(removed)
    }

    fn scan(&self, after: Option<&str>, limit: usize) -> Result<Page, StorageError> {
        let (rows, next) = Reading::begin(&self.database)?.page(after, limit.max(1))?;
        let now = self.clock.now();
        let is_live = |record: &Result<Record, _>| {
            record.as_ref().map_or(true, |record| !record.is_expired(now))
        };
        let records = rows.into_iter().filter(|(_, record)| is_live(record)).collect();
        Ok(Page { records, next: next.map(Cursor) })
    }
}

impl Storage for RedbStorage {
    fn backend(&self) -> &'static str {
        "redb"
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        self.apply(&claim.key, claim).await
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        if renewals.is_empty() {
            return Vec::new();
        }
        let (inner, batch) = (Arc::clone(&self.0), renewals.to_vec());
        let answers = elsewhere(move || inner.renew(&batch)).await;
        answers.unwrap_or_else(|error| vec![Err(error); renewals.len()])
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        let written = self.apply(&complete.key, complete).await?;
        // After the commit: who is woken finds the result.
        self.0.watchers.wake(complete.key.as_str());
        Ok(written)
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        let written = self.apply(&release.key, release).await?;
        self.0.watchers.wake(release.key.as_str());
        Ok(written)
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        let (inner, key) = (Arc::clone(&self.0), key.clone());
        elsewhere(move || inner.load(&key)).await
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        let inner = Arc::clone(&self.0);
        elsewhere(move || inner.purge(limit)).await
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        let (inner, after) = (Arc::clone(&self.0), after.map(|Cursor(key)| key.clone()));
        elsewhere(move || inner.scan(after.as_deref(), limit)).await
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(Some(self.0.watchers.subscribe(key).0))
    }

    async fn ping(&self) -> Result<(), StorageError> {
        let inner = Arc::clone(&self.0);
        elsewhere(move || inner.ping()).await
    }
}

/// The page's examples are compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/writing-a-storage.md")]
mod page {}
