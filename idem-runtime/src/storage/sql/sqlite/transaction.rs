//! Records in the application's own SQLite transaction: see
//! [`transaction`](super::super::transaction).
//!
//! A claim writes before it looks: a transaction that had only read until then waits for its turn
//! to write, and then sees what others have written, where one that had looked would be refused for
//! having seen too little.

use std::convert::Infallible;
use std::slice::from_ref;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::super::answers::Answers;
use super::super::statement_error::StatementError;
use super::super::transaction::{
    Again, BeforeCommit, Isolation, Records, Verdict, into_storage_error, is_nested, single,
};
use super::error::{is_taken, on_statement};
use super::link::Session;
use super::statements::BatchVerb;
use super::storage::SqliteStorage;
use super::verbs::{Backend, bind_claim, claimed};
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, StorageErrorKind};

/// A commit does no more than write to a file. One that takes longer is on a disk that does not
/// answer.
const PATIENCE: Duration = Duration::from_secs(60);

impl Records for Sqlite {
    /// A statement that others keep waiting for too long is no more than that.
    const ENDS_BY_ITSELF: bool = false;

    /// Its transactions are serializable. One that says when it begins that it is going to write
    /// waits for its turn there, where one that has read before it writes may be too late.
    fn begin(_isolation: Option<Isolation>) -> &'static str {
        "BEGIN IMMEDIATE"
    }

    fn again(error: &(dyn DatabaseError + 'static)) -> Again {
        if error.try_downcast_ref::<SqliteError>().is_some() && is_taken(error) {
            Again::Refused
        } else {
            Again::Never
        }
    }

    async fn claim_on(
        backend: &Backend,
        connection: &mut SqliteConnection,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        let mut session = Session::Transaction(&backend.link, connection);
        let written =
            backend.write(&mut session, BatchVerb::Claim, from_ref(claim), bind_claim).await;
        match written.map_err(into_storage_error)?.first() {
            Some(row) => claimed(row),
            None => single(backend.look(&mut session, from_ref(claim)).await),
        }
    }

    async fn complete_on(
        backend: &Backend,
        connection: &mut SqliteConnection,
        complete: &Complete,
    ) -> Result<Answers<Complete>, StatementError> {
        let mut session = Session::Transaction(&backend.link, connection);
        backend.complete(&mut session, from_ref(complete)).await
    }

    async fn release_on(
        backend: &Backend,
        connection: &mut SqliteConnection,
        release: &Release,
    ) -> Result<Answers<Release>, StatementError> {
        let mut session = Session::Transaction(&backend.link, connection);
        backend.release(&mut session, from_ref(release)).await
    }

    fn classify(backend: &Backend, error: sqlx::Error) -> StatementError {
        on_statement(error, &backend.link.table)
    }

    fn response_timeout(_backend: &Backend) -> Duration {
        PATIENCE
    }

    /// SQLite is in this process: it always answers.
    type Witness = Infallible;

    fn witness<'c>(
        storage: &'c SqliteStorage,
        connection: &'c mut SqliteConnection,
    ) -> BoxFuture<'c, Result<BeforeCommit<Infallible>, StorageError>> {
        Box::pin(async move {
            // Refused inside of a transaction. SQLite ends one by itself where a statement meets a
            // full disk, or says `OR ROLLBACK`.
            if sqlx::raw_sql("BEGIN").execute(&mut *connection).await.is_err() {
                return Ok(BeforeCommit::Open(None));
            }
            let ended = sqlx::raw_sql("ROLLBACK").execute(connection).await;
            ended.map_err(|error| on_statement(error, &storage.backend().link.table))?;
            let message =
                "sqlite, or a statement of the application, ended the transaction before COMMIT";
            Ok(BeforeCommit::Ended(StorageError::new(StorageErrorKind::Indeterminate, message)))
        })
    }

    /// Where SQLite has ended the transaction by itself, it refuses to end it, and sqlx goes on as
    /// if there were one: there has to be one to roll back.
    fn rollback(mut transaction: Transaction<'_, Self>) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(async move {
            if !is_nested::<Self>(&transaction) {
                // Refused inside of a transaction.
                let _ = sqlx::raw_sql("BEGIN").execute(&mut *transaction).await;
            }
            transaction.rollback().await
        })
    }

    fn verdict<'c>(
        _storage: &'c SqliteStorage,
        witness: &'c Infallible,
    ) -> BoxFuture<'c, Result<Verdict, StorageError>> {
        match *witness {}
    }
}
