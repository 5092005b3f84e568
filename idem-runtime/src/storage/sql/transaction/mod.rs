//! Records that are part of the application's own transaction: claimed, completed and committed with what the transaction does.
//!
//! Nobody sees such a record before it is committed, so no lease protects it but the database's own locks: whoever else inserts the row
//! would wait for the transaction to end. Each database has its own way not to:
//!
//! | database | how a second transaction learns of the first without waiting for it |
//! |---|---|
//! | Postgres | an advisory lock of the key, tried first, which ends with the transaction |
//! | MariaDB | its statements wait for no lock (`innodb_lock_wait_timeout = 0`, for the statement alone) |
//! | MySQL | they wait for one second, the least that it allows |
//! | SQLite | one transaction writes at a time; a second one waits for it, as long as its busy timeout and the claim timeout say |
//!
//! A `COMMIT` whose reply is lost is ambiguous. So the transaction says just before it what it can be recognized by, its [witness](Records),
//! and another connection asks for that afterwards:
//!
//! | database | witness | committed | rolled back |
//! |---|---|---|---|
//! | Postgres | the transaction's id | the server says so (`pg_xact_status`) | the server says so |
//! | MySQL, MariaDB | the record of a call, as the transaction itself sees it | the record has its owner | the record has not, and nobody has it locked |
//! | SQLite | none: it runs in this process, and its reply cannot be lost | | |
//!
//! Whatever else is found is [`Verdict::Unknown`].

mod again;
mod connection;
mod isolation;
#[cfg(feature = "postgres")]
mod part;
mod tx;

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::{Database, Transaction};

pub(crate) use self::again::Again;
pub use self::connection::TransactionConnection;
pub use self::isolation::Isolation;
#[cfg(feature = "postgres")]
pub(crate) use self::part::Part;
pub(crate) use self::tx::Lender;
pub use self::tx::Tx;
use super::answers::Answer;
use super::fault::{Fault, Then};
use crate::storage::{
    Claim, Claimed, Complete, Release, Storage, StorageError, StorageErrorKind, Written,
};

/// A database whose transactions can hold records: [`sqlx::Postgres`], [`sqlx::MySql`] and [`sqlx::Sqlite`], each with its feature. It is
/// sealed.
#[expect(private_bounds, reason = "that is what seals a trait")]
pub trait TransactionDatabase: Records {}

impl<DB: Records> TransactionDatabase for DB {}

/// What became of a `COMMIT` that gave an error.
#[derive(Debug)]
pub(crate) enum Uncommitted {
    /// The database has rolled the transaction back.
    Refused(StorageError),
    /// The outcome is unknown.
    Unanswered(StorageError),
}

/// What a transaction says just before its `COMMIT`.
#[derive(Debug)]
pub(crate) enum Before<W> {
    /// It is open, and this is what it can be recognized by, where there is something.
    Open(Option<W>),
    /// It has ended already, and some of what was done in it may be committed.
    Ended(StorageError),
}

/// What the database says of a transaction whose `COMMIT` was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    expect(dead_code, reason = "SQLite always answers a commit")
)]
pub(crate) enum Verdict {
    Committed,
    RolledBack,
    /// It has not ended: ask again.
    Open,
    /// It cannot be told, and asking again does not help.
    Unknown,
}

/// The verbs in a transaction of the application's. Each runs on the connection that the transaction is on and leaves it open.
pub(crate) trait Records: Database {
    /// Its name in errors.
    const CALLED: &'static str;

    /// The storage that has such records.
    type Storage: Storage;

    /// Whether a deadlock ends a transaction, so that what follows is none of it.
    const ENDS_BY_ITSELF: bool;

    /// The statements that begin a transaction.
    fn begin(isolation: Option<Isolation>) -> &'static str;

    /// What an error of a statement says about another attempt. The transaction is not committed yet.
    fn again(error: &(dyn DatabaseError + 'static)) -> Again;

    /// Decides who runs. The answer is `InProgress` where another transaction holds the key.
    fn claim<'c>(
        storage: &'c Self::Storage,
        connection: &'c mut Self::Connection,
        claim: &'c Claim,
    ) -> BoxFuture<'c, Result<Claimed, StorageError>>;

    fn complete<'c>(
        storage: &'c Self::Storage,
        connection: &'c mut Self::Connection,
        complete: &'c Complete,
    ) -> BoxFuture<'c, Result<Written, StorageError>>;

    fn release<'c>(
        storage: &'c Self::Storage,
        connection: &'c mut Self::Connection,
        release: &'c Release,
    ) -> BoxFuture<'c, Result<Written, StorageError>>;

    /// What the transaction is recognized by once its connection is lost.
    type Witness: Send + Sync;

    /// Asks the transaction for its witness. An error means that it cannot be committed.
    fn witness<'c>(
        storage: &'c Self::Storage,
        connection: &'c mut Self::Connection,
    ) -> BoxFuture<'c, Result<Before<Self::Witness>, StorageError>>;

    /// Commits, and says what an error means.
    fn commit<'c>(
        storage: &'c Self::Storage,
        transaction: Transaction<'c, Self>,
    ) -> BoxFuture<'c, Result<(), Uncommitted>>;

    /// Rolls back, so that the connection is as good as before.
    fn rollback(transaction: Transaction<'_, Self>) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(transaction.rollback())
    }

    /// Asks on another connection what became of the transaction.
    fn verdict<'c>(
        storage: &'c Self::Storage,
        witness: &'c Self::Witness,
    ) -> BoxFuture<'c, Result<Verdict, StorageError>>;

    /// How long an answer may take.
    fn patience(storage: &Self::Storage) -> Duration;
}

/// What a claim is told of a transaction that it cannot look into.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn held(claim: &Claim) -> Claimed {
    /// How long the other transaction will take, as far as anybody knows.
    const SOON: Duration = Duration::from_secs(1);
    let lease_left = claim.lease.clamp(Duration::from_millis(1), SOON);
    Claimed::InProgress { lease_left }
}

/// The error of a statement. What it has done counts only if the transaction commits.
pub(super) fn broken(fault: Fault) -> StorageError {
    match fault.then {
        Then::Again | Then::Locked => broken_up().with_source(fault.error),
        Then::Tell | Then::Split => fault.error,
    }
}

/// The database decided for others, or the transaction is too old to see what they did.
pub(super) fn broken_up() -> StorageError {
    let message =
        "the transaction was aborted (deadlock or serialization failure): roll back and retry";
    StorageError::new(StorageErrorKind::NotApplied, message)
}

/// The answer to the one verb of a batch.
pub(super) fn only<R>(answers: Result<Vec<Answer<R>>, Fault>) -> Result<R, StorageError> {
    match answers.map_err(broken)?.pop() {
        Some(Answer::Settled(answer)) => answer,
        Some(Answer::Again(error)) => Err(broken_up().with_source(error)),
        // The row changes under us, although it is locked: what it depends on is time. The next attempt sees it as it is then.
        Some(Answer::Stale | Answer::Alone) | None => Err(broken_up()),
    }
}

/// Commits within `patience`; `classify` says what an error means, and whether it is certain that the transaction was rolled back.
pub(super) async fn commit<DB: Records>(
    transaction: Transaction<'_, DB>,
    patience: Duration,
    classify: impl FnOnce(sqlx::Error) -> StorageError,
) -> Result<(), Uncommitted> {
    let error = match tokio::time::timeout(patience, transaction.commit()).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => classify(error),
        Err(_) => {
            let message = format!("{} did not answer COMMIT in time", DB::CALLED);
            StorageError::new(StorageErrorKind::Indeterminate, message)
        }
    };
    Err(match error.kind() {
        StorageErrorKind::Indeterminate => Uncommitted::Unanswered(error),
        _ => Uncommitted::Refused(error),
    })
}

/// Whether a connection's transaction is inside of another one of sqlx's: then it is a savepoint.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(super) fn is_nested<DB: Database>(connection: &DB::Connection) -> bool {
    use sqlx_core::transaction::TransactionManager;

    DB::TransactionManager::get_transaction_depth(connection) > 1
}

/// The number of the lock that a key's transactions take in a table. Two keys that share one wait for each other, and nothing worse.
#[cfg(feature = "postgres")]
pub(super) fn lock(table: &super::table::Table, key: &crate::key::RecordKey) -> i64 {
    use sha2::{Digest, Sha256};

    let mut hasher = Sha256::new();
    hasher.update("idempotency");
    // A table's name has no control character.
    hasher.update([0]);
    hasher.update(table.records());
    hasher.update([0]);
    hasher.update(key.as_str());
    let hash: [u8; 32] = hasher.finalize().into();
    hash.first_chunk().map_or(0, |head| i64::from_be_bytes(*head))
}
