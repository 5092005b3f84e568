//! Committing the application's transaction, and the truth about it.

use std::time::Duration;

use sqlx::Transaction;
use tokio::time::{Instant, sleep, timeout_at};

use super::flight::later;
use super::handle::Idempotency;
use super::settle::pauses;
use super::transaction::storage_of;
use crate::error::{Error, ErrorKind};
use crate::storage::StorageError;
use crate::storage::sql::transaction::{Part, Records, TransactionDatabase, Uncommitted};

impl Idempotency {
    /// Commits a transaction and tells the truth about it, also where the answer to `COMMIT` is lost: then the record of the last call in
    /// the transaction is looked for, until it is certain whether the transaction was committed.
    ///
    /// # Errors
    ///
    /// - [`Storage`](ErrorKind::Storage): nothing was committed. [`Error::is_retryable`] says whether to do all of it again.
    /// - [`Indeterminate`](ErrorKind::Indeterminate): the database does not answer, or no call of this library's was part of the
    ///   transaction. Call again with the same key: it replays if the transaction was committed.
    /// - [`Configuration`](ErrorKind::Configuration): the handle's storage is on another kind of database.
    ///
    /// # Cancel safety
    ///
    /// The transaction may or may not be committed when the future is dropped. Call again with the same key to know.
    pub async fn commit<DB: TransactionDatabase>(
        &self,
        mut transaction: Transaction<'_, DB>,
    ) -> Result<(), Error> {
        let storage = storage_of::<DB>(&self.0)?;
        let part = DB::part(storage, &mut transaction).await.map_err(not_committed)?;
        let sent = Instant::now();
        match DB::commit(storage, transaction).await {
            Ok(()) => Ok(()),
            Err(Uncommitted::Refused(error)) => Err(not_committed(error)),
            Err(Uncommitted::Unanswered(error)) => match part {
                Some(part) => find_out::<DB>(storage, &part, sent, error).await,
                None => Err(unknown(error)),
            },
        }
    }
}

/// Looks for the record of a call until it is certain whether its transaction was committed.
async fn find_out<DB: Records>(
    storage: &DB::Storage,
    part: &Part,
    sent: Instant,
    mut error: StorageError,
) -> Result<(), Error> {
    let deadline = later(Instant::now(), DB::patience(storage));
    let more = std::iter::repeat(Duration::from_millis(400));
    for pause in pauses().chain(more) {
        match timeout_at(deadline, DB::is_committed(storage, part)).await {
            Ok(Ok(Some(true))) => return Ok(()),
            // A record that has expired is no longer looked for.
            Ok(Ok(Some(false))) if sent.elapsed() < part.ttl => return Err(not_committed(error)),
            Ok(Ok(Some(false))) | Err(_) => break,
            Ok(Ok(None)) => {}
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
    let text = "nobody knows whether the transaction was committed";
    Error::new(ErrorKind::Indeterminate, text).with_source(error)
}
