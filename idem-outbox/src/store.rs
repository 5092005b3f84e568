//! What relays and tools do to the table, whatever the database.
//!
//! They have connections of their own beside the application's pool, on the library's own thread: neither transactions that others left
//! open there, nor sessions that do not commit by themselves, nor a runtime that stands still keeps lanes from going on.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::database::{OutboxDatabase, Seen, Statements, Trouble, Value, Window};
use super::error::{OutboxError, OutboxErrorKind};
use super::{Event, EventId};
use idem_runtime::internal::millis;
use idem_runtime::internal::spawn;
use idem_runtime::internal::sql::Table;
use idem_runtime::internal::sql::{self, Connections, Share};
use idem_runtime::record::{OwnerId, Timestamp};

/// How long an answer may take until the connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the outbox's clones, its relays and their tasks share.
pub(super) struct Shared<DB: OutboxDatabase> {
    /// Beside the application's pool. Events are enqueued on the application's own connections.
    pub(super) connections: Arc<Connections<DB>>,
    pub(super) table: Table,
    pub(super) statements: Arc<Statements>,
    /// Notified when there may be something to publish.
    pub(super) woken: Notify,
    pub(super) largest_payload: usize,
}

impl<DB: OutboxDatabase> fmt::Debug for Shared<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("database", &DB::CALLED)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// An event that a relay has leased.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) held: Held,
    pub(super) lane: i64,
    pub(super) event: Event,
    /// Those that failed so far.
    pub(super) attempts: u32,
}

/// What a relay has of a leased event: its place, and the owner that every write compares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) seq: i64,
    pub(super) owner: OwnerId,
}

/// What becomes of an event that was not published.
#[derive(Clone, Debug)]
pub(super) struct Unsent {
    pub(super) held: Held,
    pub(super) fate: Fate,
}

#[derive(Clone, Debug)]
pub(super) enum Fate {
    /// Nobody tried, or it was not the event's fault: it is free again.
    Released,
    /// An attempt failed.
    Failed { delay: Duration, error: String },
    /// It is put aside; with `blocking`, those behind it wait until somebody has decided about it.
    Dead { error: String, blocking: bool },
}

/// An event in the JSON array of a batch.
#[derive(Serialize)]
struct Named<'a> {
    seq: i64,
    owner: String,
    #[serde(flatten)]
    settled: Option<Settled<'a>>,
}

#[derive(Serialize)]
struct Settled<'a> {
    delay: u64,
    failed: u8,
    /// 1: and those behind it go on; 2: and they wait.
    dead: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<DB: OutboxDatabase> Shared<DB> {
    /// What the next lanes have.
    pub(super) async fn survey(&self, window: Window) -> Result<Vec<Seen>, OutboxError> {
        let statements = self.statements.clone();
        self.commit(move |connection| DB::survey(connection, statements, window)).await
    }

    /// Leases those of the events that are still free, for `owner`. They come in no order.
    pub(super) async fn take(
        &self,
        seqs: &[i64],
        owner: OwnerId,
        lease: Duration,
    ) -> Result<Vec<Taken>, OutboxError> {
        let statements = self.statements.clone();
        let arguments =
            vec![Value::Text(json(&seqs)), Value::Text(owner.to_string()), milliseconds(lease)];
        let rows = self.commit(move |connection| DB::take(connection, statements, arguments));
        let taken = rows.await?.iter().map(|row| taken::<DB>(row, owner)).collect::<Result<_, _>>();
        taken.map_err(|error| self.unreadable(error))
    }

    /// Extends leases, and gives the seqs that are still their owners'.
    pub(super) async fn renew(
        &self,
        held: &[Held],
        lease: Duration,
    ) -> Result<Vec<i64>, OutboxError> {
        let statements = self.statements.clone();
        let arguments = vec![names(held), milliseconds(lease)];
        let rows = self.commit(move |connection| DB::renew(connection, statements, arguments));
        let seqs = rows.await?.iter().map(|row| DB::integer(row, 0)).collect::<Result<_, _>>();
        seqs.map_err(|error| self.unreadable(error))
    }

    /// Removes events that have been published, and gives how many were still their owners'.
    pub(super) async fn remove(&self, held: &[Held]) -> Result<u64, OutboxError> {
        let (sql, arguments) = (self.statements.remove.clone(), vec![names(held)]);
        self.commit(move |connection| DB::execute(connection, sql, arguments)).await
    }

    /// Says what becomes of events that have not been published, and gives how many were still their owners'.
    pub(super) async fn settle(&self, unsent: &[Unsent]) -> Result<u64, OutboxError> {
        let batch: Vec<_> = unsent.iter().map(named).collect();
        let (sql, arguments) = (self.statements.settle.clone(), vec![Value::Text(json(&batch))]);
        self.commit(move |connection| DB::execute(connection, sql, arguments)).await
    }

    /// Does something with a connection of the outbox's own, on the library's own thread, and closes the connection where that fails. It goes
    /// on when its caller goes away.
    pub(super) async fn on_connection<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>
        + Send
        + 'static,
    ) -> Result<T, OutboxError> {
        let own = Arc::clone(&self.connections);
        let task = spawn(async move {
            let mut lent = own.acquire_within(Share::Renewals, sql::PATIENCE).await?;
            if lent.is_new {
                DB::prepare(&mut lent.connection).await?;
            }
            let answer = timeout(PATIENCE, work(&mut lent.connection)).await;
            let answer = answer.unwrap_or(Err(sqlx::Error::PoolTimedOut));
            match &answer {
                Ok(_) => lent.give_back(),
                Err(_) => own.forget_idle(),
            }
            answer
        });
        let answer = timeout(PATIENCE * 2, task).await.map_err(|_| sqlx::Error::PoolTimedOut);
        let answer = answer.and_then(|joined| joined.map_err(|_| sqlx::Error::WorkerCrashed));
        answer.flatten().map_err(|error| explain::<DB>(error, &self.table))
    }

    /// Runs statements, each of which commits by itself or with the others.
    pub(super) async fn commit<T: Send + 'static>(
        &self,
        work: impl for<'c> FnOnce(&'c mut DB::Connection) -> BoxFuture<'c, sqlx::Result<T>>
        + Send
        + 'static,
    ) -> Result<T, OutboxError> {
        self.on_connection(move |connection| {
            Box::pin(async move {
                if let Some(begin) = DB::BEGIN {
                    DB::run_raw(connection, begin.to_owned()).await?;
                }
                let answer = work(connection).await?;
                if DB::BEGIN.is_some() {
                    DB::run_raw(connection, "COMMIT".to_owned()).await?;
                }
                Ok(answer)
            })
        })
        .await
    }

    pub(super) fn unreadable(&self, error: sqlx::Error) -> OutboxError {
        explain::<DB>(sqlx::Error::Decode(Box::new(error)), &self.table)
    }
}

fn taken<DB: OutboxDatabase>(row: &DB::Row, owner: OwnerId) -> sqlx::Result<Taken> {
    Ok(Taken {
        held: Held { seq: DB::integer(row, 0)?, owner },
        lane: DB::integer(row, 1)?,
        event: event::<DB>(row, 2)?,
        attempts: u32::try_from(DB::integer(row, 7)?).unwrap_or(u32::MAX),
    })
}

/// The event in the columns that start at `first`: `id, topic, key, payload, enqueued_at`.
pub(super) fn event<DB: OutboxDatabase>(row: &DB::Row, first: usize) -> sqlx::Result<Event> {
    let id: EventId =
        DB::text(row, first)?.parse().map_err(|error| sqlx::Error::Decode(Box::new(error)))?;
    Ok(Event {
        id,
        topic: DB::text(row, first + 1)?,
        key: DB::text(row, first + 2)?,
        payload: Bytes::from(DB::bytes(row, first + 3)?),
        enqueued_at: timestamp(DB::integer(row, first + 4)?),
    })
}

pub(super) fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millis(u64::try_from(millis).unwrap_or(0))
}

fn milliseconds(duration: Duration) -> Value {
    Value::Integer(i64::try_from(millis(duration)).unwrap_or(i64::MAX / 2))
}

fn names(held: &[Held]) -> Value {
    let names = held.iter().map(|held| Named { settled: None, ..name(*held) });
    Value::Text(json(&names.collect::<Vec<_>>()))
}

fn name(held: Held) -> Named<'static> {
    Named { seq: held.seq, owner: held.owner.to_string(), settled: None }
}

fn named(unsent: &Unsent) -> Named<'_> {
    let settled = match &unsent.fate {
        Fate::Released => Settled { delay: 0, failed: 0, dead: 0, error: None },
        Fate::Failed { delay, error } => {
            Settled { delay: millis(*delay), failed: 1, dead: 0, error: Some(error) }
        }
        Fate::Dead { error, blocking } => {
            let dead = if *blocking { 2 } else { 1 };
            Settled { delay: 0, failed: 1, dead, error: Some(error) }
        }
    };
    Named { settled: Some(settled), ..name(unsent.held) }
}

fn json(batch: &impl Serialize) -> String {
    // Numbers and texts always can be written.
    serde_json::to_string(batch).unwrap_or_default()
}

/// The error for a caller.
pub(super) fn explain<DB: OutboxDatabase>(error: sqlx::Error, table: &Table) -> OutboxError {
    use OutboxErrorKind::{Configuration, Database};

    let called = DB::CALLED;
    let (kind, message) = match &error {
        sqlx::Error::Database(refusal) => match DB::trouble(&**refusal) {
            Trouble::NoTable => (
                Configuration,
                format!(
                    "the table {table} is not there: call `migrate()` of the outbox once, or run the statements of {}",
                    DB::SCHEMA
                ),
            ),
            Trouble::OtherTable => (
                Configuration,
                format!(
                    "the table {table} has other columns than this version needs: call `migrate()` of the outbox"
                ),
            ),
            Trouble::Refused => (
                Configuration,
                format!("{called} does not let this user work on the table {table}, or cannot"),
            ),
            Trouble::Passing => {
                (Database, format!("{called} refused a statement of the outbox for now"))
            }
        },
        sqlx::Error::PoolTimedOut => {
            (Database, format!("{called} did not answer in time, or cannot be reached"))
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => {
            (Configuration, format!("the address of the {called} database cannot be used"))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            (Configuration, format!("a row of the table {table} cannot be read"))
        }
        _ => (Database, format!("the connection to {called} broke, or cannot be made")),
    };
    OutboxError::new(kind, message).with_source(error)
}
