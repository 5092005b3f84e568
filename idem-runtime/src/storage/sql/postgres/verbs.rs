//! The verbs as statements: arguments as arrays, and rows as answers.

use sqlx::Row;
use sqlx::postgres::PgRow;

use super::super::fault::Fault;
use super::super::group::{Answer, Runs, Verb};
use super::super::row::{
    self, FinishColumns, clamped_millis, corrupt, read, settle, timestamp, won,
};
use super::super::wakeups::Polls;
use super::link::{Bound, Link};
use super::statements::Statements;
use crate::key::RecordKey;
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
        let bind = |query: Bound<'static>| {
            query
                .bind(keys(batch))
                .bind(column(batch, |claim| claim.owner.to_bytes()))
                .bind(column(batch, |claim| &claim.fingerprint.as_bytes()[..]))
                .bind(column(batch, |claim| row::policy(claim.on_crash)))
                .bind(column(batch, |claim| clamped_millis(claim.lease)))
                .bind(column(batch, |claim| clamped_millis(claim.ttl)))
        };
        let rows = self.link.fetch(self.statements.claim.text(batch.len()), bind).await?;
        answers(batch, &rows, |claim, row| {
            let status: Option<String> = get(row, 2)?;
            let Some(status) = status else {
                let now = timestamp(get(row, 1)?);
                return Ok(settle(read(row, 5, now), claim, now));
            };
            Ok(Answer::Settled(won(&status, get(row, 3)?, get(row, 4)?)))
        })
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
        answers(batch, &rows, written)
    }
}

impl Runs<Renew> for Backend {
    async fn run(&self, batch: &[Renew]) -> Result<Vec<Answer<Written>>, Fault> {
        let bind = |query: Bound<'static>| {
            query.bind(keys(batch)).bind(column(batch, |renew| renew.owner.to_bytes()))
        };
        let rows = self.link.fetch(self.statements.renew.text(batch.len()), bind).await?;
        answers(batch, &rows, written)
    }
}

impl Runs<Release> for Backend {
    async fn run(&self, batch: &[Release]) -> Result<Vec<Answer<Written>>, Fault> {
        let bind = |query: Bound<'static>| {
            query.bind(keys(batch)).bind(column(batch, |release| release.owner.to_bytes()))
        };
        let rows = self.link.fetch(self.statements.release.text(batch.len()), bind).await?;
        answers(batch, &rows, written)
    }
}

impl Polls for Backend {
    async fn processing(&self, keys: &[RecordKey]) -> Result<Vec<String>, StorageError> {
        let keys = column(keys, RecordKey::as_str);
        let rows = self.link.fetch(&self.statements.processing, |query| query.bind(keys)).await?;
        rows.iter().map(|row| get(row, 0)).collect()
    }
}

/// What an owner's write has done.
fn written<V: Verb<Reply = Written>>(
    verb: &V,
    row: &PgRow,
) -> Result<Answer<Written>, StorageError> {
    if get(row, 2)? {
        return Ok(Answer::Settled(Ok(Written::Done)));
    }
    let now = timestamp(get(row, 1)?);
    Ok(settle(read(row, 3, now), verb, now))
}

/// One answer for each verb, from the rows, which say in their first column which verb's they are.
fn answers<V: Verb>(
    batch: &[V],
    rows: &[PgRow],
    answer: impl Fn(&V, &PgRow) -> Result<Answer<V::Reply>, StorageError>,
) -> Result<Vec<Answer<V::Reply>>, Fault> {
    let mut answers: Vec<_> = batch.iter().map(|_| Answer::Settled(Err(corrupt()))).collect();
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
