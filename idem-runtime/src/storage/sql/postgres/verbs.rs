//! Runs the verbs: arguments as arrays, rows as answers.

use sqlx::postgres::PgRow;
use sqlx::{Encode, Postgres, Type};

use super::super::answers::{VerbAnswer, VerbAnswers, none_yet, place, stale};
use super::super::connections::Share;
use super::super::group::RunsBatch;
use super::super::row::{self, FinishColumns, clamped_millis, get, read, settle, timestamp, won};
use super::super::statement_error::{Rerun, StatementError};
use super::super::transaction::in_progress;
use super::super::verb::KeyedVerb;
use super::super::wakeups::Polls;
use super::link::{PgLink, PgQuery, PgSession};
use super::statements::{BatchStatement, PgStatements};
use crate::key::RecordKey;
use crate::storage::{Claim, Claimed, Complete, Release, Renew, StorageError, Written};

/// Runs the statements.
#[derive(Debug)]
pub(crate) struct PgBackend {
    pub(super) link: PgLink,
    pub(super) statements: PgStatements,
}

/// Binds an argument of each verb: a list, or the one value.
fn bind<'v, V, T>(
    query: PgQuery<'static>,
    batch: &'v [V],
    of: impl Fn(&'v V) -> T,
) -> PgQuery<'static>
where
    T: Encode<'v, Postgres> + Type<Postgres>,
    Vec<T>: Encode<'v, Postgres> + Type<Postgres>,
{
    match batch {
        [verb] => query.bind(of(verb)),
        verbs => query.bind(verbs.iter().map(of).collect::<Vec<_>>()),
    }
}

fn bind_keys<V: KeyedVerb>(query: PgQuery<'static>, batch: &[V]) -> PgQuery<'static> {
    bind(query, batch, |verb| verb.key().as_str())
}

fn bind_owned<V: KeyedVerb>(query: PgQuery<'static>, batch: &[V]) -> PgQuery<'static> {
    bind(bind_keys(query, batch), batch, |verb| verb.owner().to_bytes())
}

impl RunsBatch<Claim> for PgBackend {
    async fn run(&self, batch: &[Claim]) -> Result<VerbAnswers<Claim>, StatementError> {
        match (self.claim(batch).await, batch) {
            (Err(fault), [claim]) if fault.retry == Rerun::Locked => {
                // A transaction that the record is part of has claimed it.
                let is_claimed = !self.is_unlocked(&claim.key).await?;
                Ok(vec![VerbAnswer::Settled(if is_claimed {
                    Ok(in_progress(claim))
                } else {
                    Err(fault.error)
                })])
            }
            (answers, _) => answers,
        }
    }
}

impl PgBackend {
    async fn claim(&self, batch: &[Claim]) -> Result<VerbAnswers<Claim>, StatementError> {
        let mut session = PgSession::Autocommit(&self.link, Share::Claims);
        let text = self.statements.claim.text(batch.len());
        let bind = |query| bind_claims(query, batch);
        let rows = session.fetch(text, bind).await?;
        let mut answers = found(batch, &rows, 3)?;
        for row in &rows {
            let Some(won) =
                get::<Option<Vec<String>>, _>(row, 2).map_err(StatementError::unreadable)?
            else {
                continue;
            };
            for key in won {
                if let Ok(at) = batch.binary_search_by(|claim| claim.key.as_str().cmp(&key)) {
                    answers[at] = VerbAnswer::Settled(Ok(Claimed::FIRST));
                }
            }
        }
        let free: Vec<_> = stale(&answers).collect();
        if !free.is_empty() {
            let claims: Vec<_> = free.iter().map(|&at| batch[at].clone()).collect();
            let taken = self.take(&mut session, &claims).await;
            if batch.len() == 1 {
                return taken;
            }
            place(&mut answers, free, taken);
        }
        Ok(answers)
    }
}

impl RunsBatch<Complete> for PgBackend {
    async fn run(&self, batch: &[Complete]) -> Result<VerbAnswers<Complete>, StatementError> {
        self.complete(&mut PgSession::Autocommit(&self.link, Share::Outcomes), batch).await
    }
}

impl RunsBatch<Renew> for PgBackend {
    async fn run(&self, batch: &[Renew]) -> Result<VerbAnswers<Renew>, StatementError> {
        let mut session = PgSession::Autocommit(&self.link, Share::Renewals);
        self.write_owned(&mut session, &self.statements.renew, batch).await
    }
}

impl RunsBatch<Release> for PgBackend {
    async fn run(&self, batch: &[Release]) -> Result<VerbAnswers<Release>, StatementError> {
        self.release(&mut PgSession::Autocommit(&self.link, Share::Outcomes), batch).await
    }
}

pub(super) fn bind_claims(query: PgQuery<'static>, batch: &[Claim]) -> PgQuery<'static> {
    let query = bind_owned(query, batch);
    let query = bind(query, batch, |claim| &claim.fingerprint.as_bytes()[..]);
    let query = bind(query, batch, |claim| row::policy(claim.on_crash));
    let query = bind(query, batch, |claim| clamped_millis(claim.lease));
    bind(query, batch, |claim| clamped_millis(claim.ttl))
}

impl PgBackend {
    /// Claims of keys with a free row.
    pub(super) async fn take(
        &self,
        session: &mut PgSession<'_>,
        claims: &[Claim],
    ) -> Result<VerbAnswers<Claim>, StatementError> {
        let text = self.statements.take.text(claims.len());
        let bind = |query| bind_claims(query, claims);
        let rows = session.fetch(text, bind).await?;
        answers(claims, &rows, |claim, row| {
            let status: Option<String> = get(row, 2)?;
            let Some(status) = status else {
                let now = timestamp(get(row, 1)?);
                return Ok(settle(read(row, 6, now), claim, now));
            };
            Ok(VerbAnswer::Settled(won(&status, get(row, 3)?, get(row, 4)?, get(row, 5)?)))
        })
    }

    pub(super) async fn complete(
        &self,
        session: &mut PgSession<'_>,
        batch: &[Complete],
    ) -> Result<VerbAnswers<Complete>, StatementError> {
        let finishes: Vec<_> =
            batch.iter().map(|complete| FinishColumns::of(&complete.finish)).collect();
        let bind = |query: PgQuery<'static>| {
            let query = bind_owned(query, batch);
            let query = bind(query, batch, |complete| clamped_millis(complete.ttl));
            let query = bind(query, &finishes, |finish| finish.status);
            let query = bind(query, &finishes, |finish| finish.codec);
            let query = bind(query, &finishes, |finish| finish.payload);
            let query = bind(query, &finishes, |finish| finish.failure);
            let query = bind(query, &finishes, |finish| finish.message);
            bind(query, &finishes, |finish| finish.size)
        };
        let text = self.statements.complete.text(batch.len());
        let rows = session.fetch(text, bind).await?;
        self.written(session, batch, &rows).await
    }

    pub(super) async fn release(
        &self,
        session: &mut PgSession<'_>,
        batch: &[Release],
    ) -> Result<VerbAnswers<Release>, StatementError> {
        self.write_owned(session, &self.statements.release, batch).await
    }

    /// A write that takes nothing but keys and owners.
    async fn write_owned<V: KeyedVerb<Reply = Written>>(
        &self,
        session: &mut PgSession<'_>,
        statement: &BatchStatement,
        batch: &[V],
    ) -> Result<VerbAnswers<V>, StatementError> {
        let bind = |query| bind_owned(query, batch);
        let rows = session.fetch(statement.text(batch.len()), bind).await?;
        self.written(session, batch, &rows).await
    }

    /// The answers to a write of owners. The verbs that were not applied are answered by the
    /// existing rows.
    async fn written<V: KeyedVerb<Reply = Written>>(
        &self,
        session: &mut PgSession<'_>,
        batch: &[V],
        rows: &[PgRow],
    ) -> Result<VerbAnswers<V>, StatementError> {
        let mut written = none_yet(batch);
        for row in rows {
            let done: Option<Vec<i64>> = get(row, 0).map_err(StatementError::unreadable)?;
            for number in done.into_iter().flatten() {
                if let Some(answer) = index(number).and_then(|index| written.get_mut(index)) {
                    *answer = VerbAnswer::Settled(Ok(Written::Done));
                }
            }
        }
        let lost: Vec<_> = stale(&written).collect();
        if lost.is_empty() {
            return Ok(written);
        }
        let verbs: Vec<_> = lost.iter().map(|&at| batch[at].clone()).collect();
        let text = self.statements.find.text(verbs.len());
        let rows = session.fetch(text, |query| bind_keys(query, &verbs)).await;
        place(&mut written, lost, rows.and_then(|rows| found(&verbs, &rows, 2)));
        Ok(written)
    }
}

/// The answers of existing rows: `number, now`, and from the column `first` on the row.
fn found<V: KeyedVerb>(
    batch: &[V],
    rows: &[PgRow],
    first: usize,
) -> Result<VerbAnswers<V>, StatementError> {
    answers(batch, rows, |verb, row| {
        let now = timestamp(get(row, 1)?);
        Ok(settle(read(row, first, now), verb, now))
    })
}

impl Polls for PgBackend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let keys: Vec<_> = keys.iter().map(RecordKey::as_str).collect();
        let processing = &self.statements.processing;
        let rows = self.link.fetch(Share::Claims, processing, |query| query.bind(keys)).await?;
        rows.iter().map(|row| get(row, 0)).collect()
    }
}

/// One answer for each verb. The first column of a row is the number of its verb; a verb without a
/// row has no answer yet.
fn answers<V: KeyedVerb>(
    batch: &[V],
    rows: &[PgRow],
    answer: impl Fn(&V, &PgRow) -> Result<VerbAnswer<V::Reply>, StorageError>,
) -> Result<VerbAnswers<V>, StatementError> {
    let mut answers = none_yet(batch);
    for row in rows {
        let number: Option<i64> = get(row, 0).map_err(StatementError::unreadable)?;
        let Some(index) = number.and_then(index) else { continue };
        if let (Some(verb), Some(slot)) = (batch.get(index), answers.get_mut(index)) {
            *slot = answer(verb, row).unwrap_or_else(|error| VerbAnswer::Settled(Err(error)));
        }
    }
    Ok(answers)
}

/// The place of a verb in its batch, from its number in a statement.
fn index(number: i64) -> Option<usize> {
    usize::try_from(number - 1).ok()
}
