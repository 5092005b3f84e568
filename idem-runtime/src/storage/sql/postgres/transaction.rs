//! Records in the application's own Postgres transaction: see
//! [`transaction`](super::super::transaction).

use std::slice::from_ref;

use futures_util::future::BoxFuture;
use sqlx::error::DatabaseError;
use sqlx::postgres::{PgDatabaseError, PgSeverity};
use sqlx::{PgConnection, Postgres};

use super::super::answers::{VerbAnswer, VerbAnswers};
use super::super::connections::Share;
use super::super::row::{get, read, settle, timestamp};
use super::super::statement_error::StatementError;
use super::super::transaction::{
    Again, BeforeCommit, CallMark, CommitVerdict, Isolation, Records, aborted, in_progress,
    into_storage_error, lock, single,
};
use super::link::PgSession;
use super::storage::PostgresStorage;
use super::verbs::{PgBackend, bind_claims};
use super::witness::PgWitness;
use crate::key::RecordKey;
use crate::storage::{Claim, Claimed, Complete, Release, StorageError};

impl Records for Postgres {
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
            // The server stops or starts, the session was killed, or a pooler lost it.
            ("57P01" | "57P02" | "57P03" | "25P03" | "57P05", _) => Again::AfterLoss,
            (code, PgSeverity::Fatal | PgSeverity::Panic) if !code.starts_with("28") => {
                Again::AfterLoss
            }
            (code, _) if code.starts_with("08") => Again::AfterLoss,
            _ => Again::Never,
        }
    }

    async fn claim_on(
        backend: &PgBackend,
        connection: &mut PgConnection,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        backend.claim_within(connection, claim).await
    }

    async fn complete_on(
        backend: &PgBackend,
        connection: &mut PgConnection,
        complete: &Complete,
    ) -> Result<VerbAnswers<Complete>, StatementError> {
        backend.complete(&mut backend.within(connection), from_ref(complete)).await
    }

    async fn release_on(
        backend: &PgBackend,
        connection: &mut PgConnection,
        release: &Release,
    ) -> Result<VerbAnswers<Release>, StatementError> {
        backend.release(&mut backend.within(connection), from_ref(release)).await
    }

    type Witness = PgWitness;

    fn witness<'c>(
        storage: &'c PostgresStorage,
        connection: &'c mut PgConnection,
    ) -> BoxFuture<'c, Result<BeforeCommit<PgWitness>, StorageError>> {
        Box::pin(storage.backend().witness(connection))
    }

    async fn verdict_on(
        backend: &PgBackend,
        witness: &PgWitness,
    ) -> Result<CommitVerdict, StorageError> {
        backend.verdict(witness).await
    }
}

impl PgBackend {
    fn within<'a>(&'a self, connection: &'a mut PgConnection) -> PgSession<'a> {
        PgSession::Transaction(&self.link, connection)
    }

    async fn claim_within(
        &self,
        connection: &mut PgConnection,
        claim: &Claim,
    ) -> Result<Claimed, StorageError> {
        let mut session = self.within(connection);
        let lock = lock(&self.link.table, &claim.key);
        let mark = CallMark::of(claim).to_string();
        let rows = session
            .fetch(&self.statements.claim_within, |query| {
                bind_claims(query, from_ref(claim)).bind(lock).bind(mark.clone())
            })
            .await
            .map_err(into_storage_error)?;
        let row = rows.first().ok_or_else(aborted)?;
        if get::<Option<String>, _>(row, 2)?.is_some() {
            return Ok(Claimed::FIRST);
        }
        let (now, is_locked) = (timestamp(get(row, 0)?), get::<bool, _>(row, 1)?);
        match settle(read(row, 3, now), claim, now) {
            VerbAnswer::Settled(answer) => answer,
            VerbAnswer::Stale | VerbAnswer::Together(_) | VerbAnswer::Individually
                if !is_locked =>
            {
                Ok(in_progress(claim))
            }
            // The row is free, or came to be after the statement had begun: this one sees it.
            VerbAnswer::Stale | VerbAnswer::Together(_) | VerbAnswer::Individually => {
                let claimed = single(self.take(&mut session, from_ref(claim)).await)?;
                if matches!(claimed, Claimed::Acquired { .. }) {
                    let marked = session.fetch(&self.statements.mark, |query| query.bind(mark));
                    marked.await.map_err(into_storage_error)?;
                }
                Ok(claimed)
            }
        }
    }

    /// Whether no open transaction has a record of this key.
    pub(super) async fn is_unlocked(&self, key: &RecordKey) -> Result<bool, StatementError> {
        let (lock, unlocked) = (lock(&self.link.table, key), &self.statements.is_unlocked);
        let rows = self.link.fetch(Share::Claims, unlocked, |query| query.bind(lock)).await?;
        rows.first().map_or(Ok(false), |row| get(row, 0)).map_err(StatementError::unreadable)
    }
}
