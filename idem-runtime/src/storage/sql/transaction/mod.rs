//! Records in the application's own transaction: claimed, completed and committed with its other
//! writes.
//!
//! Such a record is invisible until the commit, so the database's locks protect it and no lease
//! does: another transaction that inserts the row would wait for this one to end. Each database has
//! a way to avoid that:
//!
//! | database | how a second transaction learns of the first without waiting for it |
//! |---|---|
//! | Postgres | an advisory lock of the key, tried first, which ends with the transaction |
//! | MariaDB | its statements wait for no lock (`innodb_lock_wait_timeout = 0`, for the statement alone) |
//! | MySQL | they wait for one second, the least that it allows |
//! | SQLite | one transaction writes at a time; a second one waits for it, as long as its busy timeout and the claim timeout say |
//!
//! A `COMMIT` whose reply is lost is ambiguous. So the transaction reads its [witness](Records)
//! just before the commit, and another connection looks for it afterwards:
//!
//! | database | witness | committed | rolled back |
//! |---|---|---|---|
//! | Postgres | the transaction's id | the server says so (`pg_xact_status`) | the server says so |
//! | MySQL, MariaDB | the record of a call, as the transaction itself sees it | the record has its owner | the record has not, and nobody has it locked |
//! | SQLite | none: it runs in this process, and its reply cannot be lost | | |
//!
//! Anything else is [`CommitVerdict::Unknown`].

mod again;
#[cfg(feature = "postgres")]
mod call_mark;
mod connection;
mod isolation;
mod tx;
mod verdict;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::Transaction;
use sqlx::error::DatabaseError;
use tokio::time::timeout;

pub(crate) use self::again::Again;
#[cfg(feature = "postgres")]
pub(crate) use self::call_mark::CallMark;
pub use self::connection::TransactionConnection;
pub use self::isolation::Isolation;
pub(crate) use self::tx::Lender;
pub use self::tx::Tx;
pub(crate) use self::verdict::{BeforeCommit, CommitVerdict, Uncommitted};
use super::answers::{VerbAnswer, VerbAnswers};
use super::database::{SqlBackend, SqlDatabase};
use super::statement_error::{Rerun, SendState, StatementError};
use super::storage::SqlStorage;
use super::trial::name_right;
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, StorageErrorKind, Written};

/// A database whose transactions can hold records: [`sqlx::Postgres`], [`sqlx::MySql`] and
/// [`sqlx::Sqlite`], each with its feature. It is sealed.
#[expect(private_bounds, reason = "that is what seals a trait")]
pub trait TransactionDatabase: Records {}

impl<DB: Records> TransactionDatabase for DB {}

/// The verbs in a transaction of the application's. Each runs on the connection that the
/// transaction is on and leaves it open.
pub(crate) trait Records: SqlDatabase {
    /// Whether a deadlock ends a transaction, so that later statements are outside of it.
    const ENDS_BY_ITSELF: bool;

    /// The statements that begin a transaction.
    fn begin(isolation: Option<Isolation>) -> &'static str;

    /// Whether to retry after an error of a statement. The transaction is not committed
    /// yet.
    fn again(error: &(dyn DatabaseError + 'static)) -> Again;

    /// Claims a key on the connection.
    fn claim_on(
        backend: &Self::Backend,
        connection: &mut Self::Connection,
        claim: &Claim,
    ) -> impl Future<Output = Result<Claimed, StorageError>> + Send;

    /// Completes a record on the connection.
    fn complete_on(
        backend: &Self::Backend,
        connection: &mut Self::Connection,
        complete: &Complete,
    ) -> impl Future<Output = Result<VerbAnswers<Complete>, StatementError>> + Send;

    /// Releases a key on the connection.
    fn release_on(
        backend: &Self::Backend,
        connection: &mut Self::Connection,
        release: &Release,
    ) -> impl Future<Output = Result<VerbAnswers<Release>, StatementError>> + Send;

    /// Identifies the transaction after its connection is lost.
    type Witness: Clone + Send + Sync + 'static;

    /// Asks the transaction for its witness. An error means that it cannot be committed.
    fn witness<'c>(
        storage: &'c SqlStorage<Self>,
        connection: &'c mut Self::Connection,
    ) -> BoxFuture<'c, Result<BeforeCommit<Self::Witness>, StorageError>>;

    /// Asks on another connection whether the transaction was committed.
    fn verdict_on(
        backend: &Self::Backend,
        witness: &Self::Witness,
    ) -> impl Future<Output = Result<CommitVerdict, StorageError>> + Send;

    /// Like [`verdict_on`](Self::verdict_on), on the driver.
    fn verdict<'c>(
        storage: &'c SqlStorage<Self>,
        witness: &Self::Witness,
    ) -> BoxFuture<'c, Result<CommitVerdict, StorageError>> {
        let witness = witness.clone();
        let ask = async move |backend: Arc<_>| Self::verdict_on(&backend, &witness).await;
        Box::pin(storage.on_driver(ask))
    }

    /// Decides who runs. The answer is `InProgress` where another transaction holds the key.
    fn claim<'c>(
        storage: &'c SqlStorage<Self>,
        connection: &'c mut Self::Connection,
        claim: &'c Claim,
    ) -> BoxFuture<'c, Result<Claimed, StorageError>> {
        Box::pin(async move {
            storage.try_rights().await?;
            let claimed = Self::claim_on(storage.backend(), connection, claim).await;
            claimed.map_err(|error| name_right("INSERT", error))
        })
    }

    /// Records how the operation ended.
    fn complete<'c>(
        storage: &'c SqlStorage<Self>,
        connection: &'c mut Self::Connection,
        complete: &'c Complete,
    ) -> BoxFuture<'c, Result<Written, StorageError>> {
        Box::pin(
            async move { single(Self::complete_on(storage.backend(), connection, complete).await) },
        )
    }

    /// Gives a key back.
    fn release<'c>(
        storage: &'c SqlStorage<Self>,
        connection: &'c mut Self::Connection,
        release: &'c Release,
    ) -> BoxFuture<'c, Result<Written, StorageError>> {
        Box::pin(
            async move { single(Self::release_on(storage.backend(), connection, release).await) },
        )
    }

    /// Commits, and classifies an error.
    fn commit<'c>(
        storage: &'c SqlStorage<Self>,
        transaction: Transaction<'c, Self>,
    ) -> BoxFuture<'c, Result<(), Uncommitted>> {
        Box::pin(async move {
            let committing = timeout(Self::patience(storage), transaction.commit());
            let error = match committing.await {
                Ok(Ok(())) => return Ok(()),
                Ok(Err(error)) => {
                    into_storage_error(storage.backend().explain(error, SendState::Sent))
                }
                Err(_) => {
                    let message = format!("{} did not answer COMMIT in time", Self::BACKEND);
                    StorageError::new(StorageErrorKind::Indeterminate, message)
                }
            };
            Err(match error.kind() {
                StorageErrorKind::Indeterminate => Uncommitted::Unanswered(error),
                _ => Uncommitted::Refused(error),
            })
        })
    }

    /// Rolls back, so that the connection is as good as before.
    fn rollback(transaction: Transaction<'_, Self>) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(transaction.rollback())
    }

    /// How long an answer may take.
    fn patience(storage: &SqlStorage<Self>) -> Duration {
        storage.backend().response_timeout()
    }
}

/// The answer to a claim of a key that another open transaction holds.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn in_progress(claim: &Claim) -> Claimed {
    /// The other transaction may end at any time.
    const SOON: Duration = Duration::from_secs(1);
    let lease_left = claim.lease.clamp(Duration::from_millis(1), SOON);
    Claimed::InProgress { lease_left }
}

/// The error of a statement. What it has done counts only if the transaction commits.
pub(super) fn into_storage_error(fault: StatementError) -> StorageError {
    match fault.retry {
        Rerun::Together | Rerun::Locked => aborted().with_source(fault.error),
        Rerun::Never | Rerun::Individually => fault.error,
    }
}

/// The database chose another transaction, or this one's snapshot is too old.
pub(super) fn aborted() -> StorageError {
    let message =
        "the transaction was aborted (deadlock or serialization failure): roll back and retry";
    StorageError::new(StorageErrorKind::NotApplied, message)
}

/// The answer to the one verb of a batch.
pub(super) fn single<R>(
    answers: Result<Vec<VerbAnswer<R>>, StatementError>,
) -> Result<R, StorageError> {
    match answers.map_err(into_storage_error)?.pop() {
        Some(VerbAnswer::Settled(answer)) => answer,
        Some(VerbAnswer::Together(error)) => Err(aborted().with_source(error)),
        // The locked row changed, because it depends on time. The next
        // attempt sees it as it is then.
        Some(VerbAnswer::Stale | VerbAnswer::Individually) | None => Err(aborted()),
    }
}

/// Whether a connection's transaction is inside of another one of sqlx's: then it is a savepoint.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) fn is_nested<DB: sqlx::Database>(connection: &DB::Connection) -> bool {
    use sqlx_core::transaction::TransactionManager;

    DB::TransactionManager::get_transaction_depth(connection) > 1
}

/// The number of the lock that a key's transactions take in a table. Two keys that share one wait
/// for each other, and nothing worse.
#[cfg(feature = "postgres")]
pub(super) fn lock(table: &super::table::Table, key: &crate::key::RecordKey) -> i64 {
    super::advisory_lock::advisory_lock("transaction", &[&table.records(), key.as_str()])
}
