//! Records in the application's own Postgres transaction: see [`transaction`](super::super::transaction).

use std::slice::from_ref;
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::{PgConnection, Postgres, Transaction};

use super::super::answers::Answer;
use super::super::row::{read, settle, timestamp};
use super::super::transaction::{
    Part, Records, Uncommitted, broken, broken_up, commit, held, lock, only,
};
use super::PostgresStorage;
use super::error::explain;
use super::link::Session;
use super::verbs::{Backend, bind_claims, get};
use crate::record::Fence;
use crate::storage::{Claim, Claimed, Complete, Release, StorageError, Written};

impl Records for Postgres {
    const CALLED: &'static str = "postgres";

    type Storage = PostgresStorage;

    fn claim<'c>(
        storage: &'c PostgresStorage,
        connection: &'c mut PgConnection,
        claim: &'c Claim,
    ) -> BoxFuture<'c, Result<Claimed, StorageError>> {
        Box::pin(storage.0.backend.claim_within(connection, claim))
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

    fn part<'c>(
        storage: &'c PostgresStorage,
        connection: &'c mut PgConnection,
    ) -> BoxFuture<'c, Result<Option<Part>, StorageError>> {
        Box::pin(async move {
            let Backend { link, statements } = &*storage.0.backend;
            let mut session = Session::Within(link, connection);
            let rows = session.fetch(&statements.marked, |query| query).await.map_err(broken)?;
            let mark: Option<String> = rows.first().map(|row| get(row, 0)).transpose()?.flatten();
            Ok(mark.and_then(|mark| Part::parse(&mark)))
        })
    }

    fn commit<'c>(
        storage: &'c PostgresStorage,
        transaction: Transaction<'c, Self>,
    ) -> BoxFuture<'c, Result<(), Uncommitted>> {
        let link = &storage.0.backend.link;
        let mean = |error| broken(explain(error, true, &link.table).0);
        Box::pin(commit(transaction, link.response_timeout, mean))
    }

    fn is_committed<'c>(
        storage: &'c PostgresStorage,
        part: &'c Part,
    ) -> BoxFuture<'c, Result<Option<bool>, StorageError>> {
        Box::pin(storage.0.backend.is_committed(part))
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
            return Ok(Claimed::Acquired { fence: Fence::FIRST });
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

    async fn is_committed(&self, part: &Part) -> Result<Option<bool>, StorageError> {
        if self.is_owner(part).await? {
            return Ok(Some(true));
        }
        let lock = lock(&self.link.table, &part.key);
        let unlocked = &self.statements.is_unlocked;
        let rows = self.link.outside(unlocked, |query| query.bind(lock), 1).await?;
        if !rows.first().map_or(Ok(false), |row| get(row, 0))? {
            return Ok(None);
        }
        // What the transaction has committed is seen before its lock is gone, so this look is the last one.
        self.is_owner(part).await.map(Some)
    }

    /// Whether the record of a call is there for everybody.
    async fn is_owner(&self, part: &Part) -> Result<bool, StorageError> {
        let key = part.key.as_str();
        let rows = self.link.outside(&self.statements.owner, |query| query.bind(key), 1).await?;
        let owner: Option<Vec<u8>> = rows.first().map(|row| get(row, 0)).transpose()?.flatten();
        Ok(owner.is_some_and(|owner| owner == part.owner.to_bytes()))
    }
}
