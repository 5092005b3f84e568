//! Records in the application's own SQLite transaction: see
//! [`transaction`](super::super::transaction).
//!
//! A claim writes before it reads: a transaction whose first statement writes waits for the write
//! lock and then sees all commits. After a read its snapshot may be too old, and SQLite would
//! refuse the write.

use std::convert::Infallible;
use std::slice::from_ref;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::super::answers::VerbAnswers;
use super::super::statement_error::StatementError;
use super::super::transaction::{
    Again, BeforeCommit, CommitVerdict, Isolation, Records, into_storage_error, is_nested, single,
};
use super::error::{is_taken, on_statement};
use super::link::SqliteSession;
use super::statements::BatchVerb;
use super::storage::SqliteStorage;
use super::verbs::{SqliteBackend, bind_claim, claimed};
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, StorageErrorKind};

impl Records for Sqlite {
    /// A statement that waits too long fails alone.
    const ENDS_BY_ITSELF: bool = false;

    /// Transactions are serializable. `IMMEDIATE` waits for the write lock at the beginning; a
    /// transaction that reads first may be refused when it writes.
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
        backend: &SqliteBackend,
        connection: &mut SqliteConnection,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        let mut session = SqliteSession::Transaction(&backend.link, connection);
        let written =
            backend.write(&mut session, BatchVerb::Claim, from_ref(claim), bind_claim).await;
        match written.map_err(into_storage_error)?.first() {
            Some(row) => claimed(row),
            None => single(backend.look(&mut session, from_ref(claim)).await),
        }
    }

    async fn complete_on(
        backend: &SqliteBackend,
        connection: &mut SqliteConnection,
        complete: &Complete,
    ) -> Result<VerbAnswers<Complete>, StatementError> {
        let mut session = SqliteSession::Transaction(&backend.link, connection);
        backend.complete(&mut session, from_ref(complete)).await
    }

    async fn release_on(
        backend: &SqliteBackend,
        connection: &mut SqliteConnection,
        release: &Release,
    ) -> Result<VerbAnswers<Release>, StatementError> {
        let mut session = SqliteSession::Transaction(&backend.link, connection);
        backend.release(&mut session, from_ref(release)).await
    }

    /// SQLite is in this process: it always answers.
    type Witness = Infallible;

    fn witness<'c>(
        storage: &'c SqliteStorage,
        connection: &'c mut SqliteConnection,
    ) -> BoxFuture<'c, Result<BeforeCommit<Infallible>, StorageError>> {
        Box::pin(async move {
            // Refused inside a transaction. A full disk ends one, and `OR ROLLBACK` in a statement.
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

    /// If SQLite has ended the transaction, it refuses `ROLLBACK`, and sqlx would count it as open:
    /// so a new one is begun and rolled back.
    fn rollback(mut transaction: Transaction<'_, Self>) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(async move {
            if !is_nested::<Self>(&transaction) {
                // Refused inside a transaction.
                let _ = sqlx::raw_sql("BEGIN").execute(&mut *transaction).await;
            }
            transaction.rollback().await
        })
    }

    async fn verdict_on(
        _backend: &SqliteBackend,
        witness: &Infallible,
    ) -> Result<CommitVerdict, StorageError> {
        match *witness {}
    }
}
