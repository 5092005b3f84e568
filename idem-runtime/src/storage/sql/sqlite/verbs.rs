//! Runs the verbs: a read of the rows, then a write of the free ones.
//!
//! A verb that changes nothing is answered by the read, so that a replay takes no write lock. A
//! write repeats its conditions, so that it is correct whatever happened after the read.

use hashbrown::HashMap;
use sqlx::sqlite::SqliteRow;
use tokio::time::Instant;

use super::super::answers::{VerbAnswer, VerbAnswers, all_done, none_yet, place, stale};
use super::super::connections::Share;
use super::super::group::RunsBatch;
use super::super::row::{
    self, FinishColumns, FoundRecord, clamped_millis, corrupt, get, numbered, settle, won,
};
use super::super::statement_error::{Rerun, StatementError};
use super::super::verb::KeyedVerb;
use super::super::wakeups::Polls;
use super::link::{SqliteLink, SqliteQuery, SqliteSession, pause};
use super::statements::{BatchVerb, SqliteStatements};
use crate::key::RecordKey;
use crate::record::Status;
use crate::storage::batch::MAX_BATCH;
use crate::storage::{Claim, Claimed, Complete, Release, Renew, StorageError, Written};

/// Runs the statements.
#[derive(Debug)]
pub(crate) struct SqliteBackend {
    pub(super) link: SqliteLink,
    pub(super) statements: SqliteStatements,
}

impl RunsBatch<Claim> for SqliteBackend {
    async fn run(&self, batch: &[Claim]) -> Result<VerbAnswers<Claim>, StatementError> {
        let deadline = Instant::now() + self.link.patience(Share::Claims);
        loop {
            let (mut answers, written) = self.claim(batch).await?;
            match written {
                Ok(()) => return Ok(answers),
                // The rows may have changed: read them again.
                Err(fault) if fault.retry == Rerun::Locked && Instant::now() < deadline => {
                    pause(Share::Claims).await;
                }
                Err(fault) => {
                    let free: Vec<_> = stale(&answers).collect();
                    // All of them wait for the same lock.
                    let retry =
                        if fault.retry == Rerun::Locked { Rerun::Never } else { fault.retry };
                    place(&mut answers, free, Err(StatementError { retry, ..fault }));
                    return Ok(answers);
                }
            }
        }
    }
}

impl SqliteBackend {
    /// Reads the rows, and writes the free ones. The write does not wait, so that the rows are
    /// still current.
    async fn claim(
        &self,
        batch: &[Claim],
    ) -> Result<(VerbAnswers<Claim>, Result<(), StatementError>), StatementError> {
        let mut session = SqliteSession::Autocommit(&self.link, Share::Claims);
        let (mut answers, takes_over) = self.look_for_free(&mut session, batch).await?;
        if takes_over {
            if let Err(fault) = self.link.let_owners_go_first().await {
                return Ok((answers, Err(fault)));
            }
            answers = self.look(&mut session, batch).await?;
        }
        let written = self.write_free(&mut session, batch, &mut answers).await;
        Ok((answers, written))
    }

    async fn write_free(
        &self,
        session: &mut SqliteSession<'_>,
        batch: &[Claim],
        answers: &mut [VerbAnswer<Claimed>],
    ) -> Result<(), StatementError> {
        let looked = batch.iter().zip(&*answers);
        let free = looked.filter(|(_, answer)| matches!(answer, VerbAnswer::Stale));
        let free: Vec<_> = free.map(|(claim, _)| claim).collect();
        if free.is_empty() {
            return Ok(());
        }
        let rows = self
            .write(session, BatchVerb::Claim, &free, |query, claim| bind_claim(query, claim))
            .await?;
        let mut written = HashMap::with_capacity(rows.len());
        for row in &rows {
            written.insert(get::<&str, _>(row, 0).map_err(StatementError::unreadable)?, row);
        }
        for (claim, answer) in batch.iter().zip(answers) {
            if let Some(row) = written.get(claim.key.as_str()) {
                *answer = VerbAnswer::Settled(claimed(row));
            }
        }
        Ok(())
    }

    /// The answers of the existing rows, and whether a free one has an owner whose lease is over.
    async fn look_for_free(
        &self,
        session: &mut SqliteSession<'_>,
        batch: &[Claim],
    ) -> Result<(VerbAnswers<Claim>, bool), StatementError> {
        let rows = self.find(session, batch.iter().map(KeyedVerb::key)).await?;
        let answers = looked(batch, &rows)?;
        let mut takes_over = false;
        for row in &rows {
            let (at, _, found) = numbered(row)?;
            takes_over |=
                matches!(answers.get(at), Some(VerbAnswer::Stale)) && is_processing(found);
        }
        Ok((answers, takes_over))
    }
}

pub(super) fn bind_claim(query: SqliteQuery<'static>, claim: &Claim) -> SqliteQuery<'static> {
    bind_owned(query, claim)
        .bind(claim.fingerprint.as_bytes().to_vec())
        .bind(row::policy(claim.on_crash))
        .bind(clamped_millis(claim.lease))
        .bind(clamped_millis(claim.ttl))
}

pub(super) fn claimed(row: &SqliteRow) -> Result<Claimed, StorageError> {
    won(get(row, 1)?, get(row, 2)?, get(row, 3)?, get(row, 4)?)
}

impl RunsBatch<Complete> for SqliteBackend {
    async fn run(&self, batch: &[Complete]) -> Result<VerbAnswers<Complete>, StatementError> {
        self.complete(&mut SqliteSession::Autocommit(&self.link, Share::Outcomes), batch).await
    }
}

impl RunsBatch<Renew> for SqliteBackend {
    async fn run(&self, batch: &[Renew]) -> Result<VerbAnswers<Renew>, StatementError> {
        let mut session = SqliteSession::Autocommit(&self.link, Share::Renewals);
        let done = self.write(&mut session, BatchVerb::Renew, batch, bind_owned).await?;
        self.written(&mut session, batch, &done).await
    }
}

impl RunsBatch<Release> for SqliteBackend {
    async fn run(&self, batch: &[Release]) -> Result<VerbAnswers<Release>, StatementError> {
        self.release(&mut SqliteSession::Autocommit(&self.link, Share::Outcomes), batch).await
    }
}

fn bind_owned<V: KeyedVerb>(query: SqliteQuery<'static>, verb: &V) -> SqliteQuery<'static> {
    query.bind(verb.key().as_str().to_owned()).bind(verb.owner().to_bytes().to_vec())
}

impl Polls for SqliteBackend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let mut processing = Vec::new();
        for keys in keys.chunks(MAX_BATCH) {
            let mut session = SqliteSession::Autocommit(&self.link, Share::Claims);
            for row in &self.find(&mut session, keys.iter()).await? {
                let (at, _, found) = numbered(row)?;
                // The waiter's next claim reports a record that cannot be read.
                if is_processing(found) {
                    processing.extend(keys.get(at).map(|key| key.as_str().to_owned()));
                }
            }
        }
        Ok(processing)
    }
}

impl SqliteBackend {
    pub(super) async fn complete(
        &self,
        session: &mut SqliteSession<'_>,
        batch: &[Complete],
    ) -> Result<VerbAnswers<Complete>, StatementError> {
        let bind = |query: SqliteQuery<'static>, complete: &Complete| {
            let finish = FinishColumns::of(&complete.finish);
            bind_owned(query, complete)
                .bind(clamped_millis(complete.ttl))
                .bind(finish.status)
                .bind(finish.codec.map(str::to_owned))
                .bind(finish.payload.map(<[u8]>::to_vec))
                .bind(finish.failure)
                .bind(finish.message.map(<[u8]>::to_vec))
                .bind(finish.size)
        };
        let done = self.write(session, BatchVerb::Complete, batch, bind).await?;
        self.written(session, batch, &done).await
    }

    pub(super) async fn release(
        &self,
        session: &mut SqliteSession<'_>,
        batch: &[Release],
    ) -> Result<VerbAnswers<Release>, StatementError> {
        let done = self.write(session, BatchVerb::Release, batch, bind_owned).await?;
        self.written(session, batch, &done).await
    }

    /// Writes a batch.
    pub(super) async fn write<T>(
        &self,
        session: &mut SqliteSession<'_>,
        what: BatchVerb,
        batch: &[T],
        bind: impl Fn(SqliteQuery<'static>, &T) -> SqliteQuery<'static>,
    ) -> Result<Vec<SqliteRow>, StatementError> {
        let (sql, missing) = self.statements.batch(what, batch.len());
        let bind = |query| fill(batch.iter().fold(query, &bind), missing);
        session.write(sql, bind).await
    }

    /// The rows of these keys.
    async fn find<'a>(
        &self,
        session: &mut SqliteSession<'_>,
        keys: impl ExactSizeIterator<Item = &'a RecordKey> + Clone,
    ) -> Result<Vec<SqliteRow>, StatementError> {
        let (sql, missing) = self.statements.batch(BatchVerb::Look, keys.len());
        let bind = |query: SqliteQuery<'static>| {
            let bound = keys.clone().fold(query, |query, key| query.bind(key.as_str().to_owned()));
            fill(bound, missing)
        };
        session.read(sql, bind).await
    }

    /// Reads the rows of a batch, and the answers that they give.
    pub(super) async fn look<V: KeyedVerb>(
        &self,
        session: &mut SqliteSession<'_>,
        batch: &[V],
    ) -> Result<VerbAnswers<V>, StatementError> {
        let rows = self.find(session, batch.iter().map(KeyedVerb::key)).await?;
        looked(batch, &rows)
    }

    /// The answers to a write of owners. The verbs that were not applied are answered by the
    /// existing rows.
    async fn written<V: KeyedVerb<Reply = Written>>(
        &self,
        session: &mut SqliteSession<'_>,
        batch: &[V],
        done: &[SqliteRow],
    ) -> Result<VerbAnswers<V>, StatementError> {
        if done.len() == batch.len() {
            return Ok(all_done(batch.len()));
        }
        let mut answers = none_yet(batch);
        for row in done {
            let key: &str = get(row, 0).map_err(StatementError::unreadable)?;
            if let Ok(at) = batch.binary_search_by(|verb| verb.key().as_str().cmp(key)) {
                answers[at] = VerbAnswer::Settled(Ok(Written::Done));
            }
        }
        let lost: Vec<_> = stale(&answers).collect();
        let verbs: Vec<_> = lost.iter().map(|&at| batch[at].clone()).collect();
        place(&mut answers, lost, self.look(session, &verbs).await);
        Ok(answers)
    }
}

/// The answers of existing rows.
fn looked<V: KeyedVerb>(batch: &[V], rows: &[SqliteRow]) -> Result<VerbAnswers<V>, StatementError> {
    let mut answers: Vec<_> = batch.iter().map(|_| VerbAnswer::Settled(Err(corrupt()))).collect();
    for row in rows {
        let (at, now, found) = numbered(row)?;
        if let (Some(verb), Some(answer)) = (batch.get(at), answers.get_mut(at)) {
            *answer = settle(found, verb, now);
        }
    }
    Ok(answers)
}

fn is_processing(found: FoundRecord) -> bool {
    matches!(found, Ok(Some(record)) if record.status() == Status::Processing)
}

/// Binds `NULL` to the arguments that are left.
fn fill(query: SqliteQuery<'static>, missing: usize) -> SqliteQuery<'static> {
    (0..missing).fold(query, |query, _| query.bind(None::<i64>))
}
