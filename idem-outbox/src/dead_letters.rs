//! Dead letters: events that relays no longer try, for operators and their tools.

use super::database::{OutboxDatabase, Statements, Value};
use super::error::OutboxError;
use super::outbox::{Outbox, lane};
use super::store::{event, timestamp};
use super::{Event, EventId};
use idem_runtime::record::Timestamp;

/// An event that relays no longer try to publish.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DeadLetter {
    /// The event.
    pub event: Event,
    /// Failed attempts since it was enqueued or redriven.
    pub attempts: u32,
    /// The publisher's last error.
    pub error: String,
    /// When it became a dead letter, by the database's clock.
    pub died_at: Timestamp,
    /// Whether later events of its key wait until it is redriven or discarded.
    pub is_blocking: bool,
}

/// What to do with a dead letter.
#[derive(Clone, Copy)]
enum Decision {
    Redrive,
    Discard,
}

impl<DB: OutboxDatabase> Outbox<DB> {
    /// The dead letters, oldest first; at most `limit`.
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
        let letters = rows.iter().map(|row| Ok(dead_row::<DB>(row)?.letter));
        letters.collect::<sqlx::Result<_>>().map_err(|error| shared.unreadable(error))
    }

    /// Makes a dead letter pending again, with all its attempts. Returns whether there is one with
    /// this id.
    ///
    /// One that blocks its key keeps its place. Any other goes behind the pending events of its
    /// key.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Database`](super::OutboxErrorKind::Database),
    /// [`OutboxErrorKind::Configuration`](super::OutboxErrorKind::Configuration).
    ///
    /// # Cancel safety
    ///
    /// It continues in a task of its own when the future is dropped.
    pub async fn redrive(&self, id: EventId) -> Result<bool, OutboxError> {
        let decided = self.decide(id, Decision::Redrive).await?;
        self.wake();
        Ok(decided)
    }

    /// Removes a dead letter for good, and unblocks its key. Returns whether there was one with
    /// this id.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Database`](super::OutboxErrorKind::Database),
    /// [`OutboxErrorKind::Configuration`](super::OutboxErrorKind::Configuration).
    ///
    /// # Cancel safety
    ///
    /// It continues in a task of its own when the future is dropped.
    pub async fn discard(&self, id: EventId) -> Result<bool, OutboxError> {
        let decided = self.decide(id, Decision::Discard).await?;
        self.wake();
        Ok(decided)
    }

    async fn decide(&self, id: EventId, decision: Decision) -> Result<bool, OutboxError> {
        let shared = self.shared();
        let statements = shared.statements.clone();
        let decided = shared.on_connection(move |connection| {
            Box::pin(async move { apply::<DB>(connection, &statements, id, decision).await })
        });
        decided.await
    }
}

/// A dead letter and its row.
struct DeadRow {
    seq: i64,
    letter: DeadLetter,
}

async fn apply<DB: OutboxDatabase>(
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
    let DeadRow { seq, letter } = dead_row::<DB>(row)?;

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

fn dead_row<DB: OutboxDatabase>(row: &DB::Row) -> sqlx::Result<DeadRow> {
    let letter = DeadLetter {
        event: event::<DB>(row, 0)?,
        attempts: u32::try_from(DB::integer(row, 5)?).unwrap_or(u32::MAX),
        error: DB::optional_text(row, 6)?.unwrap_or_default(),
        died_at: timestamp(DB::integer(row, 7)?),
        is_blocking: DB::integer(row, 9)? != 0,
    };
    Ok(DeadRow { seq: DB::integer(row, 8)?, letter })
}
