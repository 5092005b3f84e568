//! Runs the verbs: arguments as arrays, rows as answers.

use sqlx::postgres::PgRow;
use sqlx::{Encode, Postgres, Type};

use super::super::answers::{Answer, Answers, none_yet, place, stale};
use super::super::connections::Share;
use super::super::group::Runs;
use super::super::row::{self, FinishColumns, clamped_millis, get, read, settle, timestamp, won};
use super::super::statement_error::{Retry, StatementError};
use super::super::transaction::in_progress;
use super::super::verb::Verb;
use super::super::wakeups::Polls;
use super::link::{Bound, Link, Session};
use super::statements::Statements;
use crate::key::RecordKey;
use crate::record::Fence;
use crate::storage::{Claim, Claimed, Complete, Release, Renew, StorageError, Written};

/// Runs the statements.
#[derive(Debug)]
pub(crate) struct Backend {
    pub(super) link: Link,
    pub(super) statements: Statements,
}

/// Binds an argument of each verb: a list, or the one value.
fn bind<'v, V, T>(query: Bound<'static>, batch: &'v [V], of: impl Fn(&'v V) -> T) -> Bound<'static>
where
    T: Encode<'v, Postgres> + Type<Postgres>,
    Vec<T>: Encode<'v, Postgres> + Type<Postgres>,
{
    match batch {
        [verb] => query.bind(of(verb)),
        verbs => query.bind(verbs.iter().map(of).collect::<Vec<_>>()),
    }
}

fn bind_keys<V: Verb>(query: Bound<'static>, batch: &[V]) -> Bound<'static> {
    bind(query, batch, |verb| verb.key().as_str())
}

impl Runs<Claim> for Backend {
    async fn run(&self, batch: &[Claim]) -> Result<Answers<Claim>, StatementError> {
        match (self.claim(batch).await, batch) {
            (Err(fault), [claim]) if fault.retry == Retry::Locked => {
                // A transaction that the record is part of has claimed it.
                let is_claimed = !self.is_unlocked(&claim.key).await?;
                Ok(vec![Answer::Settled(if is_claimed {
                    Ok(in_progress(claim))
                } else {
                    Err(fault.error)
                })])
            }
            (answers, _) => answers,
        }
    }
}

impl Backend {
    async fn claim(&self, batch: &[Claim]) -> Result<Answers<Claim>, StatementError> {
        let mut session = Session::Autocommit(&self.link, Share::Claims);
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
                    answers[at] = Answer::Settled(Ok(Claimed::Acquired {
                        fence: Fence::FIRST,
                        recovered: false,
                    }));
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

impl Runs<Complete> for Backend {
    async fn run(&self, batch: &[Complete]) -> Result<Answers<Complete>, StatementError> {
        self.complete(&mut Session::Autocommit(&self.link, Share::Outcomes), batch).await
    }
}

impl Runs<Renew> for Backend {
    async fn run(&self, batch: &[Renew]) -> Result<Answers<Renew>, StatementError> {
        let mut session = Session::Autocommit(&self.link, Share::Renewals);
        let bind = |query| bind(bind_keys(query, batch), batch, |renew| renew.owner.to_bytes());
        let text = self.statements.renew.text(batch.len());
        let rows = session.fetch(text, bind).await?;
        self.written(&mut session, batch, &rows).await
    }
}

impl Runs<Release> for Backend {
    async fn run(&self, batch: &[Release]) -> Result<Answers<Release>, StatementError> {
        self.release(&mut Session::Autocommit(&self.link, Share::Outcomes), batch).await
    }
}

pub(super) fn bind_claims(query: Bound<'static>, batch: &[Claim]) -> Bound<'static> {
    let query = bind_keys(query, batch);
    let query = bind(query, batch, |claim| claim.owner.to_bytes());
    let query = bind(query, batch, |claim| &claim.fingerprint.as_bytes()[..]);
    let query = bind(query, batch, |claim| row::policy(claim.on_crash));
    let query = bind(query, batch, |claim| clamped_millis(claim.lease));
    bind(query, batch, |claim| clamped_millis(claim.ttl))
}

impl Backend {
    /// Claims of keys with a free row.
    pub(super) async fn take(
        &self,
        session: &mut Session<'_>,
        claims: &[Claim],
    ) -> Result<Answers<Claim>, StatementError> {
        let text = self.statements.take.text(claims.len());
        let bind = |query| bind_claims(query, claims);
        let rows = session.fetch(text, bind).await?;
        answers(claims, &rows, |claim, row| {
            let status: Option<String> = get(row, 2)?;
            let Some(status) = status else {
                let now = timestamp(get(row, 1)?);
                return Ok(settle(read(row, 6, now), claim, now));
            };
            Ok(Answer::Settled(won(&status, get(row, 3)?, get(row, 4)?, get(row, 5)?)))
        })
    }

    pub(super) async fn complete(
        &self,
        session: &mut Session<'_>,
        batch: &[Complete],
    ) -> Result<Answers<Complete>, StatementError> {
        let finishes: Vec<_> =
            batch.iter().map(|complete| FinishColumns::of(&complete.finish)).collect();
        let bind = |query: Bound<'static>| {
            let query = bind_keys(query, batch);
            let query = bind(query, batch, |complete| complete.owner.to_bytes());
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
        session: &mut Session<'_>,
        batch: &[Release],
    ) -> Result<Answers<Release>, StatementError> {
        let bind = |query| bind(bind_keys(query, batch), batch, |release| release.owner.to_bytes());
        let text = self.statements.release.text(batch.len());
        let rows = session.fetch(text, bind).await?;
        self.written(session, batch, &rows).await
    }

    /// The answers to a write of owners. The verbs that were not applied are answered by the
    /// existing rows.
    async fn written<V: Verb<Reply = Written>>(
        &self,
        session: &mut Session<'_>,
        batch: &[V],
        rows: &[PgRow],
    ) -> Result<Answers<V>, StatementError> {
        let mut written = none_yet(batch);
        for row in rows {
            let done: Option<Vec<i64>> = get(row, 0).map_err(StatementError::unreadable)?;
            for number in done.into_iter().flatten() {
                if let Some(answer) = index(number).and_then(|index| written.get_mut(index)) {
                    *answer = Answer::Settled(Ok(Written::Done));
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
fn found<V: Verb>(batch: &[V], rows: &[PgRow], first: usize) -> Result<Answers<V>, StatementError> {
    answers(batch, rows, |verb, row| {
        let now = timestamp(get(row, 1)?);
        Ok(settle(read(row, first, now), verb, now))
    })
}

impl Polls for Backend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let keys: Vec<_> = keys.iter().map(RecordKey::as_str).collect();
        let processing = &self.statements.processing;
        let rows = self.link.fetch(Share::Claims, processing, |query| query.bind(keys)).await?;
        rows.iter().map(|row| get(row, 0)).collect()
    }
}

/// One answer for each verb. The first column of a row is the number of its verb; a verb without a
/// row has no answer yet.
fn answers<V: Verb>(
    batch: &[V],
    rows: &[PgRow],
    answer: impl Fn(&V, &PgRow) -> Result<Answer<V::Reply>, StorageError>,
) -> Result<Answers<V>, StatementError> {
    let mut answers = none_yet(batch);
    for row in rows {
        let number: Option<i64> = get(row, 0).map_err(StatementError::unreadable)?;
        let Some(index) = number.and_then(index) else { continue };
        if let (Some(verb), Some(slot)) = (batch.get(index), answers.get_mut(index)) {
            *slot = answer(verb, row).unwrap_or_else(|error| Answer::Settled(Err(error)));
        }
    }
    Ok(answers)
}

/// The place of a verb in its batch, from its number in a statement.
fn index(number: i64) -> Option<usize> {
    usize::try_from(number - 1).ok()
}
