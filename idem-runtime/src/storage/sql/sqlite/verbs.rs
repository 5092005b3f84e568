//! Runs the verbs: a read of the rows, then a write of the free ones.
//!
//! A verb that changes nothing is answered by the read, so that a replay takes no write lock. A
//! write repeats its conditions, so that it is correct whatever happened after the read.

use hashbrown::HashMap;
use sqlx::sqlite::SqliteRow;
use tokio::time::Instant;

use super::super::answers::{Answer, Answers, all_done, none_yet, place, stale};
use super::super::connections::Share;
use super::super::group::Runs;
use super::super::row::{
    self, FinishColumns, clamped_millis, corrupt, get, read, settle, timestamp, won,
};
use super::super::statement_error::{Retry, StatementError};
use super::super::verb::Verb;
use super::super::wakeups::Polls;
use super::link::{Bound, Link, Session, pause};
use super::statements::{BatchVerb, Statements};
use crate::key::RecordKey;
use crate::record::{OwnerId, Status};
use crate::storage::batch::MAX_BATCH;
use crate::storage::{Claim, Claimed, Complete, Release, Renew, StorageError, Written};

/// Runs the statements.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(super) link: Link,
    pub(super) statements: Statements,
}

impl Runs<Claim> for Backend {
    async fn run(&self, batch: &[Claim]) -> Result<Answers<Claim>, StatementError> {
        let deadline = Instant::now() + self.link.patience(Share::Claims);
        loop {
            let (mut answers, written) = self.claim(batch).await?;
            match written {
                Ok(()) => return Ok(answers),
                // What is there may have changed meanwhile.
                Err(fault) if fault.retry == Retry::Locked && Instant::now() < deadline => {
                    pause(Share::Claims).await;
                }
                Err(fault) => {
                    let free: Vec<_> = stale(&answers).collect();
                    // One lock keeps all of them waiting.
                    let retry =
                        if fault.retry == Retry::Locked { Retry::Never } else { fault.retry };
                    place(&mut answers, free, Err(StatementError { retry, ..fault }));
                    return Ok(answers);
                }
            }
        }
    }
}

impl Backend {
    /// A look, and what became of a write of what is free. The write waits for nobody, so that the
    /// look is as good as new.
    async fn claim(
        &self,
        batch: &[Claim],
    ) -> Result<(Answers<Claim>, Result<(), StatementError>), StatementError> {
        let mut session = Session::Autocommit(&self.link, Share::Claims);
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
        session: &mut Session<'_>,
        batch: &[Claim],
        answers: &mut [Answer<Claimed>],
    ) -> Result<(), StatementError> {
        let looked = batch.iter().zip(&*answers);
        let free = looked.filter(|(_, answer)| matches!(answer, Answer::Stale));
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
                *answer = Answer::Settled(claimed(row));
            }
        }
        Ok(())
    }

    /// What the rows that are there say, and whether a free one has an owner whose lease is over.
    async fn look_for_free(
        &self,
        session: &mut Session<'_>,
        batch: &[Claim],
    ) -> Result<(Answers<Claim>, bool), StatementError> {
        let rows = self.find(session, batch.iter().map(Verb::key)).await?;
        let answers = looked(batch, &rows)?;
        let mut takes_over = false;
        for row in &rows {
            let number: i64 = get(row, 0).map_err(StatementError::unreadable)?;
            let now = timestamp(get(row, 1).map_err(StatementError::unreadable)?);
            let answer = usize::try_from(number).ok().and_then(|number| answers.get(number));
            if matches!(answer, Some(Answer::Stale)) {
                let record = read(row, 2, now).ok().flatten();
                takes_over |= record.is_some_and(|record| record.status() == Status::Processing);
            }
        }
        Ok((answers, takes_over))
    }
}

pub(super) fn bind_claim(query: Bound<'static>, claim: &Claim) -> Bound<'static> {
    owned(query, &claim.key, claim.owner)
        .bind(claim.fingerprint.as_bytes().to_vec())
        .bind(row::policy(claim.on_crash))
        .bind(clamped_millis(claim.lease))
        .bind(clamped_millis(claim.ttl))
}

pub(super) fn claimed(row: &SqliteRow) -> Result<Claimed, StorageError> {
    won(get(row, 1)?, get(row, 2)?, get(row, 3)?, get(row, 4)?)
}

impl Runs<Complete> for Backend {
    async fn run(&self, batch: &[Complete]) -> Result<Answers<Complete>, StatementError> {
        self.complete(&mut Session::Autocommit(&self.link, Share::Outcomes), batch).await
    }
}

impl Runs<Renew> for Backend {
    async fn run(&self, batch: &[Renew]) -> Result<Answers<Renew>, StatementError> {
        let mut session = Session::Autocommit(&self.link, Share::Renewals);
        let bind = |query, renew: &Renew| owned(query, &renew.key, renew.owner);
        let done = self.write(&mut session, BatchVerb::Renew, batch, bind).await?;
        self.written(&mut session, batch, &done).await
    }
}

impl Runs<Release> for Backend {
    async fn run(&self, batch: &[Release]) -> Result<Answers<Release>, StatementError> {
        self.release(&mut Session::Autocommit(&self.link, Share::Outcomes), batch).await
    }
}

fn owned(query: Bound<'static>, key: &RecordKey, owner: OwnerId) -> Bound<'static> {
    query.bind(key.as_str().to_owned()).bind(owner.to_bytes().to_vec())
}

impl Polls for Backend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let mut processing = Vec::new();
        for keys in keys.chunks(MAX_BATCH) {
            let mut session = Session::Autocommit(&self.link, Share::Claims);
            for row in &self.find(&mut session, keys.iter()).await? {
                let number: i64 = get(row, 0)?;
                let key = usize::try_from(number).ok().and_then(|number| keys.get(number));
                // The waiter's next claim reports a record that cannot be read.
                let found = read(row, 2, timestamp(get(row, 1)?)).ok().flatten();
                if found.is_some_and(|record| record.status() == Status::Processing) {
                    processing.extend(key.map(|key| key.as_str().to_owned()));
                }
            }
        }
        Ok(processing)
    }
}

impl Backend {
    pub(super) async fn complete(
        &self,
        session: &mut Session<'_>,
        batch: &[Complete],
    ) -> Result<Answers<Complete>, StatementError> {
        let bind = |query: Bound<'static>, complete: &Complete| {
            let finish = FinishColumns::of(&complete.finish);
            owned(query, &complete.key, complete.owner)
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
        session: &mut Session<'_>,
        batch: &[Release],
    ) -> Result<Answers<Release>, StatementError> {
        let bind = |query, release: &Release| owned(query, &release.key, release.owner);
        let done = self.write(session, BatchVerb::Release, batch, bind).await?;
        self.written(session, batch, &done).await
    }

    /// Writes a batch.
    pub(super) async fn write<T>(
        &self,
        session: &mut Session<'_>,
        what: BatchVerb,
        batch: &[T],
        bind: impl Fn(Bound<'static>, &T) -> Bound<'static>,
    ) -> Result<Vec<SqliteRow>, StatementError> {
        let (sql, missing) = self.statements.batch(what, batch.len());
        let bind = |query| fill(batch.iter().fold(query, &bind), missing);
        session.write(sql, bind).await
    }

    /// The rows of these keys.
    async fn find<'a>(
        &self,
        session: &mut Session<'_>,
        keys: impl ExactSizeIterator<Item = &'a RecordKey> + Clone,
    ) -> Result<Vec<SqliteRow>, StatementError> {
        let (sql, missing) = self.statements.batch(BatchVerb::Look, keys.len());
        let bind = |query: Bound<'static>| {
            let bound = keys.clone().fold(query, |query, key| query.bind(key.as_str().to_owned()));
            fill(bound, missing)
        };
        session.read(sql, bind).await
    }

    /// What the rows that are there say to a batch.
    pub(super) async fn look<V: Verb>(
        &self,
        session: &mut Session<'_>,
        batch: &[V],
    ) -> Result<Answers<V>, StatementError> {
        let rows = self.find(session, batch.iter().map(Verb::key)).await?;
        looked(batch, &rows)
    }

    /// The answers to a write of owners. The verbs that were not applied are answered by the
    /// existing rows.
    async fn written<V: Verb<Reply = Written>>(
        &self,
        session: &mut Session<'_>,
        batch: &[V],
        done: &[SqliteRow],
    ) -> Result<Answers<V>, StatementError> {
        if done.len() == batch.len() {
            return Ok(all_done(batch.len()));
        }
        let mut answers = none_yet(batch);
        for row in done {
            let key: &str = get(row, 0).map_err(StatementError::unreadable)?;
            if let Ok(at) = batch.binary_search_by(|verb| verb.key().as_str().cmp(key)) {
                answers[at] = Answer::Settled(Ok(Written::Done));
            }
        }
        let lost: Vec<_> = stale(&answers).collect();
        let verbs: Vec<_> = lost.iter().map(|&at| batch[at].clone()).collect();
        place(&mut answers, lost, self.look(session, &verbs).await);
        Ok(answers)
    }
}

/// What the rows that are there say to each of a batch.
fn looked<V: Verb>(batch: &[V], rows: &[SqliteRow]) -> Result<Answers<V>, StatementError> {
    let mut answers: Vec<_> = batch.iter().map(|_| Answer::Settled(Err(corrupt()))).collect();
    for row in rows {
        let number: i64 = get(row, 0).map_err(StatementError::unreadable)?;
        let now = timestamp(get(row, 1).map_err(StatementError::unreadable)?);
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if let (Some(verb), Some(answer)) = (batch.get(index), answers.get_mut(index)) {
            *answer = settle(read(row, 2, now), verb, now);
        }
    }
    Ok(answers)
}

/// Binds `NULL` to the arguments that are left.
fn fill(query: Bound<'static>, missing: usize) -> Bound<'static> {
    (0..missing).fold(query, |query, _| query.bind(None::<i64>))
}
