//! Records in the application's own Postgres transaction: see [`transaction`](super::super::transaction).

use std::slice::from_ref;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{PgConnection, Postgres, Transaction};

use super::super::answers::Answer;
use super::super::connections::{Share, on_driver};
use super::super::fault::Fault;
use super::super::row::{read, settle, timestamp};
use super::super::transaction::{
    Again, Before, Isolation, Part, Records, Uncommitted, Verdict, broken, broken_up, commit, held,
    lock, only,
};
use super::super::tried::name_right;
use super::PostgresStorage;
use super::error::explain;
use super::link::Session;
use super::verbs::{Backend, bind_claims, get};
use super::witness::Witness;
use crate::key::RecordKey;
use crate::record::Fence;
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, Written};

impl Records for Postgres {
    const CALLED: &'static str = "postgres";

    type Storage = PostgresStorage;

    /// It refuses every statement until it is rolled back.
    const ENDS_BY_ITSELF: bool = false;

    fn begin(isolation: Option<Isolation>) -> &'static str {
        match isolation {
            None => "BEGIN",
            Some(Isolation::ReadCommitted) => "BEGIN ISOLATION LEVEL READ COMMITTED",
            Some(Isolation::RepeatableRead) => "BEGIN ISOLATION LEVEL REPEATABLE READ",
            Some(Isolation::Serializable) => "BEGIN ISOLATION LEVEL SERIALIZABLE",
        }
    }

    fn again(error: &(dyn DatabaseError + 'static)) -> Again {
        let Some(error) = error.try_downcast_ref::<PgDatabaseError>() else { return Again::Never };
        match (error.code(), error.severity()) {
            ("40001" | "40P01", _) => Again::Aborted,
            // The server is told to stop or starts, the session was ended, or a pooler lost it.
            ("57P01" | "57P02" | "57P03" | "25P03" | "57P05", _) => Again::AfterLoss,
            (code, PgSeverity::Fatal | PgSeverity::Panic) if !code.starts_with("28") => {
                Again::AfterLoss
            }
            (code, _) if code.starts_with("08") => Again::AfterLoss,
            _ => Again::Never,
        }
    }

    fn claim<'c>(
        storage: &'c PostgresStorage,
        connection: &'c mut PgConnection,
        claim: &'c Claim,
    ) -> BoxFuture<'c, Result<Claimed, StorageError>> {
        Box::pin(async move {
            storage.0.try_rights().await?;
            let claimed = storage.0.backend.claim_within(connection, claim).await;
            claimed.map_err(|error| name_right("INSERT", error))
        })
    }

    fn complete<'c>(
        storage: &'c PostgresStorage,
        connection: &'c mut PgConnection,
        complete: &'c Complete,
    ) -> BoxFuture<'c, Result<Written, StorageError>> {
        Box::pin(async move {
            let backend = &storage.0.backend;
            let mut session = Session::Within(&backend.link, connection);
            only(backend.complete(&mut session, from_ref(complete)).await)
        })
    }

    fn release<'c>(
        storage: &'c PostgresStorage,
        connection: &'c mut PgConnection,
        release: &'c Release,
    ) -> BoxFuture<'c, Result<Written, StorageError>> {
        Box::pin(async move {
            let backend = &storage.0.backend;
            let mut session = Session::Within(&backend.link, connection);
            only(backend.release(&mut session, from_ref(release)).await)
        })
    }

    type Witness = Witness;

    fn witness<'c>(
        storage: &'c PostgresStorage,
        connection: &'c mut PgConnection,
    ) -> BoxFuture<'c, Result<Before<Witness>, StorageError>> {
        Box::pin(storage.0.backend.witness(connection))
    }

    fn commit<'c>(
        storage: &'c PostgresStorage,
        transaction: Transaction<'c, Self>,
    ) -> BoxFuture<'c, Result<(), Uncommitted>> {
        let link = &storage.0.backend.link;
        let classify = |error| broken(explain(error, true, &link.table).0);
        Box::pin(commit(transaction, link.response_timeout, classify))
    }

    fn verdict<'c>(
        storage: &'c PostgresStorage,
        witness: &'c Witness,
    ) -> BoxFuture<'c, Result<Verdict, StorageError>> {
        let (backend, witness) = (Arc::clone(&storage.0.backend), witness.clone());
        let limit = backend.link.limit();
        Box::pin(on_driver(limit, async move { backend.verdict(&witness).await }))
    }

    fn patience(storage: &PostgresStorage) -> Duration {
        storage.0.backend.link.response_timeout
    }
}

impl Backend {
    async fn claim_within(
        &self,
        connection: &mut PgConnection,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        let mut session = Session::Within(&self.link, connection);
        let lock = lock(&self.link.table, &claim.key);
        let mark = Part::of(claim).to_string();
        let rows = session
            .fetch(&self.statements.claim_within, |query| {
                bind_claims(query, from_ref(claim)).bind(lock).bind(mark.clone())
            })
            .await
            .map_err(broken)?;
        let row = rows.first().ok_or_else(broken_up)?;
        if get::<Option<String>>(row, 2)?.is_some() {
            return Ok(Claimed::Acquired { fence: Fence::FIRST, recovered: false });
        }
        let (now, is_locked) = (timestamp(get(row, 0)?), get::<bool>(row, 1)?);
        match settle(read(row, 3, now), claim, now) {
            Answer::Settled(answer) => answer,
            Answer::Stale | Answer::Again(_) | Answer::Alone if !is_locked => Ok(held(claim)),
            // The row is free, or came to be after the statement had begun: this one sees it.
            Answer::Stale | Answer::Again(_) | Answer::Alone => {
                let claimed = only(self.take(&mut session, from_ref(claim)).await)?;
                if matches!(claimed, Claimed::Acquired { .. }) {
                    let marked = session.fetch(&self.statements.mark, |query| query.bind(mark));
                    marked.await.map_err(broken)?;
                }
                Ok(claimed)
            }
        }
    }

    /// Whether no open transaction has a record of this key.
    pub(super) async fn is_unlocked(&self, key: &RecordKey) -> Result<bool, Fault> {
        let (lock, unlocked) = (lock(&self.link.table, key), &self.statements.is_unlocked);
        let rows = self.link.fetch(Share::Claims, unlocked, |query| query.bind(lock)).await?;
        rows.first().map_or(Ok(false), |row| get(row, 0)).map_err(Fault::unreadable)
    }
}
