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
//! | SQLite | one transaction writes at a time; a second one waits for it, as long as its busy timeout says |
//!
//! What can be committed without anybody hearing of it is marked: the transaction itself says, in a way that ends with it, which call last
//! became part of it. When the answer to its `COMMIT` is lost, that call's record is looked for, and it is certain that it will not come
//! once nobody holds the lock that the transaction held.

mod connection;
mod part;

use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{Database, Transaction};

pub use self::connection::TransactionConnection;
pub(crate) use self::part::Part;
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
    /// Nobody knows.
    Unanswered(StorageError),
}

/// The verbs in a transaction of the application's. Each runs on the connection that the transaction is on and leaves it open.
pub(crate) trait Records: Database {
    /// Its name in errors.
    const CALLED: &'static str;

    /// The storage that has such records.
    type Storage: Storage;

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

    /// The last call that became part of the transaction. An error means that it cannot be committed.
    fn part<'c>(
        storage: &'c Self::Storage,
        connection: &'c mut Self::Connection,
    ) -> BoxFuture<'c, Result<Option<Part>, StorageError>>;

    /// Commits, and says what an error means.
    fn commit<'c>(
        storage: &'c Self::Storage,
        transaction: Transaction<'c, Self>,
    ) -> BoxFuture<'c, Result<(), Uncommitted>>;

    /// Whether the transaction of a call was committed; none while that is not decided.
    fn is_committed<'c>(
        storage: &'c Self::Storage,
        part: &'c Part,
    ) -> BoxFuture<'c, Result<Option<bool>, StorageError>>;

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
        Then::Again => broken_up().with_source(fault.error),
        Then::Tell | Then::Split => fault.error,
    }
}

/// The database decided for others, or the transaction is too old to see what they did.
pub(super) fn broken_up() -> StorageError {
    let message =
        "the database broke the transaction up in favour of others: roll it back and try again";
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

/// Commits within `patience`; `mean` says what an error means, and whether it is certain that the transaction was rolled back.
pub(super) async fn commit<DB: Records>(
    transaction: Transaction<'_, DB>,
    patience: Duration,
    mean: impl FnOnce(sqlx::Error) -> StorageError,
) -> Result<(), Uncommitted> {
    let error = match tokio::time::timeout(patience, transaction.commit()).await {
        Ok(Ok(())) => return Ok(()),
        Ok(Err(error)) => mean(error),
        Err(_) => {
            let message = format!("{} did not answer in time", DB::CALLED);
            StorageError::new(StorageErrorKind::Indeterminate, message)
        }
    };
    Err(match error.kind() {
        StorageErrorKind::Indeterminate => Uncommitted::Unanswered(error),
        _ => Uncommitted::Refused(error),
    })
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
