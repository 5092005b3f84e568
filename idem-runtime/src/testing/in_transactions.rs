//! A storage that runs its verbs in transactions, as calls in transactions do.

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{Database, Pool, Transaction};
use tokio::time::sleep;

use crate::key::RecordKey;
use crate::record::Record;
use crate::storage::sql::SqlStorage;
use crate::storage::sql::transaction::{Records, TransactionDatabase, Uncommitted};
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, SharedStorage, Storage, StorageError,
    StorageErrorKind, StorageWarning, Wakeup, Written,
};

/// Runs each claim, completion and release in a transaction of its own and commits it.
/// [`in_transaction`](crate::Idempotency::in_transaction) runs the same verbs in the application's
/// transaction, so the [conformance suite](super::conformance) covers them too.
#[derive(Debug)]
pub struct InTransactions<DB: TransactionDatabase> {
    storage: SharedStorage,
    pool: Pool<DB>,
}

impl<DB: TransactionDatabase> InTransactions<DB> {
    /// Runs transactions on `pool` for the records of `storage`, which must be on the same
    /// database.
    pub fn new(storage: SharedStorage, pool: Pool<DB>) -> Self {
        Self { storage, pool }
    }

    /// Retries in a new transaction after a deadlock or serialization failure. Also retries a claim
    /// for a moment while another transaction holds the key, as a waiter does.
    async fn transact<V, R>(&self, verb: V, work: Work<DB, V, R>) -> Result<R, StorageError>
    where
        V: Clone + Send + Sync + 'static,
        R: Retryable + Send + 'static,
    {
        let mut left = ATTEMPTS;
        loop {
            let reply = self.transact_once(verb.clone(), work).await;
            let is_retryable = match &reply {
                Ok(reply) => reply.is_retryable(),
                Err(error) => error.kind() == StorageErrorKind::NotApplied,
            };
            left -= 1;
            if left == 0 || !is_retryable {
                return reply;
            }
            sleep(Duration::from_millis(fastrand::u64(1..5))).await;
        }
    }

    /// In a task of its own: a dropped caller must not leave a connection inside a transaction.
    async fn transact_once<V, R>(&self, verb: V, work: Work<DB, V, R>) -> Result<R, StorageError>
    where
        V: Send + Sync + 'static,
        R: Send + 'static,
    {
        let (storage, pool) = (self.storage.clone(), self.pool.clone());
        let task = tokio::spawn(async move {
            let Some(storage) = storage.downcast_ref::<SqlStorage<DB>>() else {
                return Err(trouble(StorageErrorKind::Configuration, "another database"));
            };
            let mut transaction = pool.begin().await.map_err(|error| {
                trouble(StorageErrorKind::NotApplied, "no transaction").with_source(error)
            })?;
            match work(storage, &mut transaction, &verb).await {
                Ok(reply) => commit(storage, transaction).await.map(|()| reply),
                Err(error) => {
                    // If the rollback fails, the server rolls back when the connection closes.
                    let _ = DB::rollback(transaction).await;
                    Err(error)
                }
            }
        });
        task.await.unwrap_or_else(|error| {
            Err(trouble(StorageErrorKind::Indeterminate, "the transaction's task was aborted")
                .with_source(error))
        })
    }
}

/// Attempts for each verb.
const ATTEMPTS: u32 = 20;

/// Whether a retry may give another reply.
trait Retryable {
    fn is_retryable(&self) -> bool;
}

impl Retryable for Claimed {
    fn is_retryable(&self) -> bool {
        matches!(self, Self::InProgress { .. })
    }
}

impl Retryable for Written {
    fn is_retryable(&self) -> bool {
        false
    }
}

/// A verb that runs in a transaction.
type Work<DB, V, R> = for<'c> fn(
    &'c SqlStorage<DB>,
    &'c mut <DB as Database>::Connection,
    &'c V,
) -> BoxFuture<'c, Result<R, StorageError>>;

async fn commit<DB: Records>(
    storage: &SqlStorage<DB>,
    transaction: Transaction<'_, DB>,
) -> Result<(), StorageError> {
    DB::commit(storage, transaction).await.map_err(|uncommitted| match uncommitted {
        Uncommitted::Refused(error) | Uncommitted::Unanswered(error) => error,
    })
}

fn trouble(kind: StorageErrorKind, text: &'static str) -> StorageError {
    StorageError::new(kind, text)
}

impl<DB: TransactionDatabase> Storage for InTransactions<DB> {
    fn backend(&self) -> &'static str {
        DB::BACKEND
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        self.transact(claim.clone(), DB::claim).await
    }

    /// Outside a transaction: calls in transactions have no lease to renew.
    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        self.storage.renew(renewals).await
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        self.transact(complete.clone(), DB::complete).await
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        self.transact(release.clone(), DB::release).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.storage.load(key).await
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        self.storage.purge(limit).await
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.storage.scan(after, limit).await
    }

    /// None: the application's own commit sends no wake-ups.
    async fn watch(&self, _key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(None)
    }

    async fn ping(&self) -> Result<(), StorageError> {
        self.storage.ping().await
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        self.storage.warnings().await
    }
}
