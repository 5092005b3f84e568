//! Records in the application's own SQLite transaction: see [`transaction`](super::super::transaction).
//!
//! A claim writes before it looks: a transaction that had only read until then waits for its turn to write, and then sees what others have
//! written, where one that had looked would be refused for having seen too little.

use std::convert::Infallible;
use std::slice::from_ref;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::sqlite::SqliteError;
use sqlx::{Sqlite, SqliteConnection, Transaction};

use super::super::transaction::{
    Again, Before, Isolation, Records, Uncommitted, Verdict, broken, commit, is_nested, only,
};
use super::SqliteStorage;
use super::error::{explain, is_taken};
use super::link::Session;
use super::statements::Batch;
use super::verbs::{Backend, bind_claim, claimed};
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, StorageErrorKind, Written};

/// A commit does no more than write to a file. One that takes longer is on a disk that does not answer.
const PATIENCE: Duration = Duration::from_secs(60);

impl Records for Sqlite {
    const CALLED: &'static str = "sqlite";

    type Storage = SqliteStorage;

    /// A statement that others keep waiting for too long is no more than that.
    const ENDS_BY_ITSELF: bool = false;

    /// Its transactions are serializable. One that says when it begins that it is going to write waits for its turn there, where one that has read
    /// before it writes may be too late.
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

    fn claim<'c>(
        storage: &'c SqliteStorage,
        connection: &'c mut SqliteConnection,
        claim: &'c Claim,
    ) -> BoxFuture<'c, Result<Claimed, StorageError>> {
        Box::pin(storage.0.backend.claim_within(connection, claim))
    }

    fn complete<'c>(
        storage: &'c SqliteStorage,
        connection: &'c mut SqliteConnection,
        complete: &'c Complete,
    ) -> BoxFuture<'c, Result<Written, StorageError>> {
        Box::pin(async move {
            let backend = &storage.0.backend;
            let mut session = Session::Within(&backend.link, connection);
            only(backend.complete(&mut session, from_ref(complete)).await)
        })
    }

    fn release<'c>(
        storage: &'c SqliteStorage,
        connection: &'c mut SqliteConnection,
        release: &'c Release,
    ) -> BoxFuture<'c, Result<Written, StorageError>> {
        Box::pin(async move {
            let backend = &storage.0.backend;
            let mut session = Session::Within(&backend.link, connection);
            only(backend.release(&mut session, from_ref(release)).await)
        })
    }

    /// SQLite is in this process: it always answers.
    type Witness = Infallible;

    fn witness<'c>(
        storage: &'c SqliteStorage,
        connection: &'c mut SqliteConnection,
    ) -> BoxFuture<'c, Result<Before<Infallible>, StorageError>> {
        Box::pin(async move {
            // Refused inside of a transaction. SQLite ends one by itself where a statement meets a full disk, or says `OR ROLLBACK`.
            if sqlx::raw_sql("BEGIN").execute(&mut *connection).await.is_err() {
                return Ok(Before::Open(None));
            }
            let ended = sqlx::raw_sql("ROLLBACK").execute(connection).await;
            ended.map_err(|error| explain(error, true, &storage.0.backend.link.table))?;
            let message = "sqlite, or a statement of the application, has ended the transaction before its commit";
            Ok(Before::Ended(StorageError::new(StorageErrorKind::Indeterminate, message)))
        })
    }

    fn commit<'c>(
        storage: &'c SqliteStorage,
        transaction: Transaction<'c, Self>,
    ) -> BoxFuture<'c, Result<(), Uncommitted>> {
        let table = &storage.0.backend.link.table;
        Box::pin(commit(transaction, PATIENCE, |error| broken(explain(error, true, table))))
    }

    /// Where SQLite has ended the transaction by itself, it refuses to end it, and sqlx goes on as if there were one: there has to be one to roll back.
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

    fn patience(_storage: &SqliteStorage) -> Duration {
        PATIENCE
    }
}

impl Backend {
    async fn claim_within(
        &self,
        connection: &mut SqliteConnection,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        let mut session = Session::Within(&self.link, connection);
        let written = self.write(&mut session, Batch::Claim, from_ref(claim), bind_claim).await;
        match written.map_err(broken)?.first() {
            Some(row) => claimed(row),
            None => only(self.look(&mut session, from_ref(claim)).await),
        }
    }
}
