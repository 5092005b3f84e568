//! The verbs as statements: arguments as arrays, and rows as answers.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::super::fault::{Fault, Then};
use super::super::group::{Answer, Runs, Verb};
use super::super::row::{
    self, FinishColumns, clamped_millis, corrupt, read, settle, timestamp, won,
};
use super::super::wakeups::Polls;
use super::link::{Bound, Link};
use super::statements::Statements;
use crate::key::RecordKey;
use crate::record::Fence;
use crate::storage::{Claim, Claimed, Complete, Release, Renew, StorageError, Written};

/// What runs the statements.
#[derive(Debug)]
pub(super) struct Backend {
    pub(super) link: Link,
    pub(super) statements: Statements,
}

/// A column of a batch, as an array.
fn column<'a, V, T>(batch: &'a [V], of: impl Fn(&'a V) -> T) -> Vec<T> {
    batch.iter().map(of).collect()
}

fn keys<V: Verb>(batch: &[V]) -> Vec<&str> {
    column(batch, |verb| verb.key().as_str())
}

impl Runs<Claim> for Backend {
    async fn run(&self, batch: &[Claim]) -> Result<Vec<Answer<Claimed>>, Fault> {
        let text = self.statements.claim.text(batch.len());
        let rows = self.link.fetch(text, |query| bind_claims(query, batch)).await?;
        let mut answers = answers(batch, &rows, |claim, row| {
            let now = timestamp(get(row, 1)?);
            if get(row, 2)? {
                return Ok(Answer::Settled(Ok(Claimed::Acquired { fence: Fence::FIRST })));
            }
            Ok(settle(read(row, 3, now), claim, now))
        })?;
        let free: Vec<_> = stale(&answers).collect();
        if !free.is_empty() {
            let claims: Vec<_> = free.iter().map(|&at| batch[at].clone()).collect();
            for (at, answer) in free.into_iter().zip(self.take(&claims).await) {
                answers[at] = answer;
            }
        }
        Ok(answers)
    }
}

impl Runs<Complete> for Backend {
    async fn run(&self, batch: &[Complete]) -> Result<Vec<Answer<Written>>, Fault> {
        let finishes = column(batch, |complete| FinishColumns::of(&complete.finish));
        let bind = |query: Bound<'static>| {
            query
                .bind(keys(batch))
                .bind(column(batch, |complete| complete.owner.to_bytes()))
                .bind(column(batch, |complete| clamped_millis(complete.ttl)))
                .bind(column(&finishes, |finish| finish.status))
                .bind(column(&finishes, |finish| finish.codec))
                .bind(column(&finishes, |finish| finish.payload))
                .bind(column(&finishes, |finish| finish.failure))
                .bind(column(&finishes, |finish| finish.message))
                .bind(column(&finishes, |finish| finish.size))
        };
        let rows = self.link.fetch(self.statements.complete.text(batch.len()), bind).await?;
        self.written(batch, &rows).await
    }
}

impl Runs<Renew> for Backend {
    async fn run(&self, batch: &[Renew]) -> Result<Vec<Answer<Written>>, Fault> {
        let bind = |query: Bound<'static>| {
            query.bind(keys(batch)).bind(column(batch, |renew| renew.owner.to_bytes()))
        };
        let rows = self.link.fetch(self.statements.renew.text(batch.len()), bind).await?;
        self.written(batch, &rows).await
    }
}

impl Runs<Release> for Backend {
    async fn run(&self, batch: &[Release]) -> Result<Vec<Answer<Written>>, Fault> {
        let bind = |query: Bound<'static>| {
            query.bind(keys(batch)).bind(column(batch, |release| release.owner.to_bytes()))
        };
        let rows = self.link.fetch(self.statements.release.text(batch.len()), bind).await?;
        self.written(batch, &rows).await
    }
}

fn bind_claims(query: Bound<'static>, batch: &[Claim]) -> Bound<'static> {
    query
        .bind(keys(batch))
        .bind(column(batch, |claim| claim.owner.to_bytes()))
        .bind(column(batch, |claim| &claim.fingerprint.as_bytes()[..]))
        .bind(column(batch, |claim| row::policy(claim.on_crash)))
        .bind(column(batch, |claim| clamped_millis(claim.lease)))
        .bind(column(batch, |claim| clamped_millis(claim.ttl)))
}

/// The places of those that have no answer yet.
fn stale<R>(answers: &[Answer<R>]) -> impl Iterator<Item = usize> {
    let numbered = answers.iter().enumerate();
    numbered.filter(|(_, answer)| matches!(answer, Answer::Stale)).map(|(at, _)| at)
}

impl Backend {
    /// Claims of keys whose row is there and free. An error here is theirs alone: others of their batch have their answers.
    async fn take(&self, claims: &[Claim]) -> Vec<Answer<Claimed>> {
        let text = self.statements.take.text(claims.len());
        let taken = match self.link.fetch(text, |query| bind_claims(query, claims)).await {
            Ok(rows) => answers(claims, &rows, |claim, row| {
                let status: Option<String> = get(row, 2)?;
                let Some(status) = status else {
                    let now = timestamp(get(row, 1)?);
                    return Ok(settle(read(row, 5, now), claim, now));
                };
                Ok(Answer::Settled(won(&status, get(row, 3)?, get(row, 4)?)))
            }),
            Err(fault) => Err(fault),
        };
        taken.unwrap_or_else(|fault| {
            let failed = |_| match fault.then {
                Then::Again => Answer::Stale,
                Then::Tell | Then::Split => Answer::Settled(Err(fault.error.clone())),
            };
            claims.iter().map(failed).collect()
        })
    }

    /// What owners' write has done, and what is there for those who own nothing.
    async fn written<V: Verb<Reply = Written>>(
        &self,
        batch: &[V],
        rows: &[PgRow],
    ) -> Result<Vec<Answer<Written>>, Fault> {
        let mut written = answers(batch, rows, |_, _| Ok(Answer::Settled(Ok(Written::Done))))?;
        let lost: Vec<_> = stale(&written).collect();
        if lost.is_empty() {
            return Ok(written);
        }
        let verbs: Vec<_> = lost.iter().map(|&at| batch[at].clone()).collect();
        let text = self.statements.find.text(verbs.len());
        let found = self.link.fetch(text, |query| query.bind(keys(&verbs))).await;
        let found = found.and_then(|rows| {
            answers(&verbs, &rows, |verb, row| {
                let now = timestamp(get(row, 1)?);
                Ok(settle(read(row, 2, now), verb, now))
            })
        });
        match found {
            Ok(found) => lost.into_iter().zip(found).for_each(|(at, answer)| written[at] = answer),
            // They go again: a write may be repeated, and others of their batch have their answers.
            Err(fault) if fault.then == Then::Again => {}
            Err(fault) => {
                for at in lost {
                    written[at] = Answer::Settled(Err(fault.error.clone()));
                }
            }
        }
        Ok(written)
    }
}

impl Polls for Backend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let keys = column(keys, RecordKey::as_str);
        let rows = self.link.fetch(&self.statements.processing, |query| query.bind(keys)).await?;
        rows.iter().map(|row| get(row, 0)).collect()
    }
}

/// One answer for each verb, from the rows, which say in their first column which verb's they are. Those without a row have none yet.
fn answers<V: Verb>(
    batch: &[V],
    rows: &[PgRow],
    answer: impl Fn(&V, &PgRow) -> Result<Answer<V::Reply>, StorageError>,
) -> Result<Vec<Answer<V::Reply>>, Fault> {
    let mut answers: Vec<_> = batch.iter().map(|_| Answer::Stale).collect();
    for row in rows {
        let number: i64 = get(row, 0).map_err(Fault::unreadable)?;
        let index = usize::try_from(number - 1).unwrap_or(usize::MAX);
        if let (Some(verb), Some(slot)) = (batch.get(index), answers.get_mut(index)) {
            *slot = answer(verb, row).unwrap_or_else(|error| Answer::Settled(Err(error)));
        }
    }
    Ok(answers)
}

/// A column of our own making.
pub(super) fn get<'r, T>(row: &'r PgRow, column: usize) -> Result<T, StorageError>
where
    T: sqlx::Decode<'r, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
{
    row.try_get(column).map_err(|error| corrupt().with_source(error))
}
