//! Ending the application's transaction: a commit that resolves a lost reply, and a rollback that
//! keeps the call's error.

use std::time::Duration;

use sqlx::Transaction;

use super::flight::later;
use super::handle::Idempotency;
use super::settle::pauses;
use super::transaction::storage_of;
use crate::error::{Error, ErrorKind};
use crate::storage::StorageError;
use crate::storage::sql::SqlStorage;
use crate::storage::sql::transaction::{
    BeforeCommit, CommitVerdict, Records, TransactionDatabase, Uncommitted,
};
use crate::sync::time::{Instant, sleep, timeout, timeout_at};

impl Idempotency {
    /// Commits a transaction, and resolves an ambiguous commit when the reply to `COMMIT` is lost:
    /// another connection looks for the transaction's witness, for at most the storage's response
    /// timeout.
    ///
    /// | database | witness | coverage |
    /// |---|---|---|
    /// | Postgres | the transaction's own id | everything that the transaction wrote, with calls of this library in it or without |
    /// | MySQL, MariaDB | the record of a call in the transaction | a transaction in which a call ran, in whatever table and database of the server |
    /// | SQLite | nothing: it runs in this process | |
    ///
    /// # Errors
    ///
    /// - [`Storage`](ErrorKind::Storage): nothing was committed, for certain.
    ///   [`Error::is_retryable`] says whether to retry the whole transaction.
    /// - [`Indeterminate`](ErrorKind::Indeterminate): the outcome is unknown. The server cannot be
    ///   reached, still has the transaction open, or was replaced by another; a statement of the
    ///   transaction ended it before its commit; on Postgres it wrote nothing; on MySQL and MariaDB no
    ///   call ran in it, or no record of a call is part of it any more. Call again with the same key:
    ///   it replays if the transaction was committed. A call that released its key recorded no result,
    ///   so it runs again.
    /// - [`Configuration`](ErrorKind::Configuration): the handle's storage is on another kind of database.
    ///
    /// # Cancel safety
    ///
    /// The transaction may or may not be committed when the future is dropped. Call again with the
    /// same key to find out.
    pub async fn commit<DB: TransactionDatabase>(
        &self,
        mut transaction: Transaction<'_, DB>,
    ) -> Result<(), Error> {
        let storage = storage_of::<DB>(&self.0)?;
        // If this fails, `COMMIT` was not sent, and dropping the transaction rolls it back.
        let before = DB::witness(storage, &mut transaction).await.map_err(not_committed)?;
        let witness = match before {
            BeforeCommit::Open(witness) => witness,
            // sqlx does not notice on SQLite: the connection's next user would write into a
            // transaction that is never committed.
            BeforeCommit::Ended(error) => {
                self.rollback(transaction).await;
                return Err(unknown(error));
            }
        };
        match DB::commit(storage, transaction).await {
            Ok(()) => Ok(()),
            Err(Uncommitted::Refused(error)) => Err(not_committed(error)),
            Err(Uncommitted::Unanswered(error)) => match witness {
                Some(witness) => find_out::<DB>(storage, &witness, error).await,
                None => Err(unknown(error)),
            },
        }
    }

    /// Rolls a transaction back after an error, and returns no error of its own.
    ///
    /// On a dead connection `tx.rollback().await?` fails too, and hides the call's error, which
    /// says whether to call again. A failed rollback needs no handling, since the database rolls
    /// back what was not committed. So this waits for the handle's
    /// [`claim_timeout`](crate::IdempotencyBuilder::claim_timeout) at most and returns nothing.
    /// After an answered rollback the key is free for the next attempt.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn example(pool: sqlx::PgPool, idem: idem_runtime::Idempotency) -> Result<i64, Box<dyn std::error::Error>> {
    /// let mut tx = pool.begin().await?;
    /// let operation = idem.in_transaction(&mut tx).operation("deposit").key("deposit:42");
    /// let deposited = operation
    ///     .run(async |tx| {
    ///         let update = "UPDATE accounts SET balance = balance + 100 RETURNING balance";
    ///         Ok::<i64, Box<dyn std::error::Error>>(sqlx::query_scalar(update).fetch_one(tx).await?)
    ///     })
    ///     .await;
    /// match deposited {
    ///     Ok(balance) => {
    ///         idem.commit(tx).await?;
    ///         Ok(balance)
    ///     }
    ///     Err(error) => {
    ///         idem.rollback(tx).await;
    ///         Err(error)
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// A transaction whose rollback is dropped is rolled back a moment later.
    pub async fn rollback<DB: TransactionDatabase>(&self, transaction: Transaction<'_, DB>) {
        let reason = match timeout(self.0.claim_timeout, DB::rollback(transaction)).await {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(late) => late.to_string(),
        };
        tracing::debug!(
            database = DB::BACKEND,
            reason,
            "a rollback was not answered: the database rolls back by itself"
        );
    }
}

/// Looks for the witness until the outcome of the commit is certain.
async fn find_out<DB: Records>(
    storage: &SqlStorage<DB>,
    witness: &DB::Witness,
    mut error: StorageError,
) -> Result<(), Error> {
    let deadline = later(Instant::now(), DB::patience(storage));
    let more = std::iter::repeat(Duration::from_millis(400));
    for pause in pauses().chain(more) {
        match timeout_at(deadline, DB::verdict(storage, witness)).await {
            Ok(Ok(CommitVerdict::Committed)) => return Ok(()),
            Ok(Ok(CommitVerdict::RolledBack)) => return Err(not_committed(error)),
            Ok(Ok(CommitVerdict::Open)) => {}
            Ok(Ok(CommitVerdict::Unknown)) | Err(_) => break,
            Ok(Err(trouble)) => error = trouble,
        }
        if Instant::now() + pause >= deadline {
            break;
        }
        sleep(pause).await;
    }
    Err(unknown(error))
}

fn not_committed(error: StorageError) -> Error {
    Error::new(ErrorKind::Storage, "the transaction was not committed").with_source(error)
}

fn unknown(error: StorageError) -> Error {
    let text = "commit outcome unknown: call again with the same key, which replays if the transaction was committed";
    Error::new(ErrorKind::Indeterminate, text).with_source(error)
}
