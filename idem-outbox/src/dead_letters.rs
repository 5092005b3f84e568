//! Events that were put aside, for people and their tools.

use super::database::{OutboxDatabase, Statements, Value};
use super::error::OutboxError;
use super::outbox::{Outbox, lane};
use super::store::{event, timestamp};
use super::{Event, EventId};
use idem_runtime::record::Timestamp;

/// An event that no relay tries any more.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event.
    pub event: Event,
    /// How often it was tried since it was enqueued or redriven.
    pub attempts: u32,
    /// What the publisher said the last time.
    pub error: String,
    /// When it was put aside, by the database's clock.
    pub died_at: Timestamp,
    /// Whether later events of its key wait until it is redriven or discarded.
    pub is_blocking: bool,
}

/// What is done about a dead event.
#[derive(Clone, Copy)]
enum Decision {
    Redrive,
    Discard,
}

impl<DB: OutboxDatabase> Outbox<DB> {
    /// The events that were put aside, those first that have been for longest; at most `limit`.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Database`](super::OutboxErrorKind::Database),
    /// [`OutboxErrorKind::Configuration`](super::OutboxErrorKind::Configuration).
    pub async fn dead_letters(&self, limit: usize) -> Result<Vec<DeadLetter>, OutboxError> {
        let shared = self.shared();
        let limit = vec![Value::Integer(i64::try_from(limit).unwrap_or(i64::MAX))];
        let dead = shared.statements.dead.clone();
        let rows = shared.commit(move |connection| DB::fetch(connection, dead, limit)).await?;
        let letters = rows.iter().map(|row| Ok(found::<DB>(row)?.letter));
        letters.collect::<sqlx::Result<_>>().map_err(|error| shared.unreadable(error))
    }

    /// Has a dead event tried again, with all its attempts, and says whether there was one with this id.
    ///
    /// One that held its key up goes in its old place. One that others of its key have passed goes behind all that wait now.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Database`](super::OutboxErrorKind::Database),
    /// [`OutboxErrorKind::Configuration`](super::OutboxErrorKind::Configuration).
    ///
    /// # Cancel safety
    ///
    /// It goes on in a task of its own when the future is dropped.
    pub async fn redrive(&self, id: EventId) -> Result<bool, OutboxError> {
        let decided = self.decide(id, Decision::Redrive).await?;
        self.wake();
        Ok(decided)
    }

    /// Removes a dead event for good, and says whether there was one with this id. What it held up goes on.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Database`](super::OutboxErrorKind::Database),
    /// [`OutboxErrorKind::Configuration`](super::OutboxErrorKind::Configuration).
    ///
    /// # Cancel safety
    ///
    /// It goes on in a task of its own when the future is dropped.
    pub async fn discard(&self, id: EventId) -> Result<bool, OutboxError> {
        let decided = self.decide(id, Decision::Discard).await?;
        self.wake();
        Ok(decided)
    }

    async fn decide(&self, id: EventId, decision: Decision) -> Result<bool, OutboxError> {
        let shared = self.shared();
        let statements = shared.statements.clone();
        let decided = shared.on_connection(move |connection| {
            Box::pin(async move { carry_out::<DB>(connection, &statements, id, decision).await })
        });
        decided.await
    }
}

/// A dead event and its row.
struct Found {
    seq: i64,
    letter: DeadLetter,
}

async fn carry_out<DB: OutboxDatabase>(
    connection: &mut DB::Connection,
    statements: &Statements,
    id: EventId,
    decision: Decision,
) -> sqlx::Result<bool> {
    let mut transaction = DB::begin_writing(connection).await?;
    let id = vec![Value::Text(id.to_string())];
    let rows = DB::fetch(&mut transaction, statements.dead_one.clone(), id).await?;
    let Some(row) = rows.first() else {
        transaction.rollback().await?;
        return Ok(false);
    };
    let Found { seq, letter } = found::<DB>(row)?;

    let lane = Value::Integer(lane(&letter.event.topic, &letter.event.key));
    let seq = Value::Integer(seq);
    let steps = match decision {
        Decision::Redrive if letter.is_blocking => vec![(&statements.revive, vec![lane, seq])],
        Decision::Redrive => {
            vec![(&statements.append, vec![lane, seq.clone()]), (&statements.discard, vec![seq])]
        }
        Decision::Discard => vec![(&statements.discard, vec![seq])],
    };
    for (sql, arguments) in steps {
        DB::execute(&mut transaction, sql.clone(), arguments).await?;
    }
    transaction.commit().await?;
    Ok(true)
}

fn found<DB: OutboxDatabase>(row: &DB::Row) -> sqlx::Result<Found> {
    let letter = DeadLetter {
        event: event::<DB>(row, 0)?,
        attempts: u32::try_from(DB::integer(row, 5)?).unwrap_or(u32::MAX),
        error: DB::optional_text(row, 6)?.unwrap_or_default(),
        died_at: timestamp(DB::integer(row, 7)?),
        is_blocking: DB::integer(row, 9)? != 0,
    };
    Ok(Found { seq: DB::integer(row, 8)?, letter })
}
