//! The table as relays and tools use it, on every database.
//!
//! They have connections of their own beside the application's pool, on the library's own thread.
//! So no open transaction in that pool, no session setting and no blocked runtime stops a relay.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use serde::Serialize;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::database::{OutboxDatabase, PendingEvent, Refusal, Statements, Value, Window};
use super::error::{OutboxError, OutboxErrorKind};
use super::{Event, EventId};
use idem_runtime::internal::millis;
use idem_runtime::internal::spawn;
use idem_runtime::internal::sql::Table;
use idem_runtime::internal::sql::{self, Connections, Share};
use idem_runtime::record::{OwnerId, Timestamp};

/// How long a statement may take before its connection is closed.
const PATIENCE: Duration = Duration::from_secs(10);

/// What an outbox's clones, relays and tasks share.
pub(super) struct Shared<DB: OutboxDatabase> {
    /// Beside the application's pool. Events are enqueued on the application's own connections.
    pub(super) connections: Arc<Connections<DB>>,
    pub(super) table: Table,
    pub(super) statements: Arc<Statements>,
    /// Notified when there may be something to publish.
    pub(super) woken: Notify,
    pub(super) max_payload: usize,
}

impl<DB: OutboxDatabase> fmt::Debug for Shared<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("database", &DB::PRODUCT)
            .field("table", &self.table)
            .finish_non_exhaustive()
    }
}

/// An event that a relay has leased.
#[derive(Debug)]
pub(super) struct LeasedEvent {
    pub(super) lease: Lease,
    pub(super) lane: i64,
    pub(super) event: Event,
    /// Failed attempts so far.
    pub(super) attempts: u32,
}

/// A lease of an event: the event's place, and the owner that every write compares.
#[derive(Clone, Copy, Debug)]
pub(super) struct Lease {
    pub(super) seq: i64,
    pub(super) owner: OwnerId,
}

/// Gives an event back that was not published.
#[derive(Clone, Debug)]
pub(super) struct Nack {
    pub(super) lease: Lease,
    pub(super) kind: NackKind,
}

#[derive(Clone, Debug)]
pub(super) enum NackKind {
    /// The event is free again: there was no attempt, or the attempt does not count.
    Release,
    /// An attempt failed. The next one is due after `delay`.
    Retry { delay: Duration, error: String },
    /// The event becomes a dead letter. With `blocking`, later events of its key wait until it is
    /// redriven or discarded.
    DeadLetter { error: String, blocking: bool },
}

/// A lease in the JSON array of a batch.
#[derive(Serialize)]
struct LeaseRow<'a> {
    seq: i64,
    owner: String,
    #[serde(flatten)]
    nack: Option<NackRow<'a>>,
}

#[derive(Serialize)]
struct NackRow<'a> {
    delay: u64,
    failed: u8,
    /// 0: pending. 1: a dead letter. 2: a dead letter that blocks its key.
    dead: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

impl<DB: OutboxDatabase> Shared<DB> {
    /// Reads the first events of the next lanes.
    pub(super) async fn list_pending(
        &self,
        window: Window,
    ) -> Result<Vec<PendingEvent>, OutboxError> {
        let statements = self.statements.clone();
        self.commit(move |connection| DB::list_pending(connection, statements, window)).await
    }

    /// Leases the events that are still free, for `owner`. Their order is not defined.
    pub(super) async fn lease(
        &self,
        seqs: &[i64],
        owner: OwnerId,
        lease: Duration,
    ) -> Result<Vec<LeasedEvent>, OutboxError> {
        let statements = self.statements.clone();
        let arguments =
            vec![Value::Text(json(&seqs)), Value::Text(owner.to_string()), milliseconds(lease)];
        let rows = self.commit(move |connection| DB::lease(connection, statements, arguments));
        let rows = rows.await?;
        let leased = rows.iter().map(|row| leased::<DB>(row, owner)).collect::<Result<_, _>>();
        leased.map_err(|error| self.unreadable(error))
    }

    /// Extends leases, and returns the places whose owner still holds them.
    pub(super) async fn renew(
        &self,
        leases: &[Lease],
        duration: Duration,
    ) -> Result<Vec<i64>, OutboxError> {
        let statements = self.statements.clone();
        let arguments = vec![lease_rows(leases), milliseconds(duration)];
        let rows = self.commit(move |connection| DB::renew(connection, statements, arguments));
        let seqs = rows.await?.iter().map(|row| DB::integer(row, 0)).collect::<Result<_, _>>();
        seqs.map_err(|error| self.unreadable(error))
    }

    /// Removes published events, and returns how many the owner still held.
    pub(super) async fn remove(&self, leases: &[Lease]) -> Result<u64, OutboxError> {
        let (sql, arguments) = (self.statements.remove.clone(), vec![lease_rows(leases)]);
        self.commit(move |connection| DB::execute(connection, sql, arguments)).await
    }

    /// Gives events back, and returns how many the owner still held.
    pub(super) async fn nack(&self, nacks: &[Nack]) -> Result<u64, OutboxError> {
        let batch: Vec<_> = nacks.iter().map(nack_row).collect();
        let (sql, arguments) = (self.statements.nack.clone(), vec![Value::Text(json(&batch))]);
        self.commit(move |connection| DB::execute(connection, sql, arguments)).await
    }

    /// Runs `work` on a connection of the outbox's own, on the library's own thread, and closes the
    /// connection if `work` fails. The work continues when its caller is dropped.
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

    /// Runs statements, in one transaction where the database has a `BEGIN`.
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

fn leased<DB: OutboxDatabase>(row: &DB::Row, owner: OwnerId) -> sqlx::Result<LeasedEvent> {
    Ok(LeasedEvent {
        lease: Lease { seq: DB::integer(row, 0)?, owner },
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

fn lease_rows(leases: &[Lease]) -> Value {
    let rows: Vec<_> = leases.iter().map(|lease| lease_row(*lease, None)).collect();
    Value::Text(json(&rows))
}

fn lease_row(Lease { seq, owner }: Lease, nack: Option<NackRow<'_>>) -> LeaseRow<'_> {
    LeaseRow { seq, owner: owner.to_string(), nack }
}

fn nack_row(Nack { lease, kind }: &Nack) -> LeaseRow<'_> {
    let nack = match kind {
        NackKind::Release => NackRow { delay: 0, failed: 0, dead: 0, error: None },
        NackKind::Retry { delay, error } => {
            NackRow { delay: millis(*delay), failed: 1, dead: 0, error: Some(error) }
        }
        NackKind::DeadLetter { error, blocking } => {
            NackRow { delay: 0, failed: 1, dead: if *blocking { 2 } else { 1 }, error: Some(error) }
        }
    };
    lease_row(*lease, Some(nack))
}

fn json(batch: &impl Serialize) -> String {
    // Numbers and texts can always be serialized.
    serde_json::to_string(batch).unwrap_or_default()
}

/// The error of an outbox for an error of the driver.
pub(super) fn explain<DB: OutboxDatabase>(error: sqlx::Error, table: &Table) -> OutboxError {
    use OutboxErrorKind::{Configuration, Database};

    let product = DB::PRODUCT;
    let (kind, message) = match &error {
        sqlx::Error::Database(refusal) => match DB::classify(&**refusal) {
            Refusal::MissingTable => (
                Configuration,
                format!(
                    "the table {table} does not exist: call `migrate()` of the outbox once, or run the statements of {}",
                    DB::SCHEMA
                ),
            ),
            Refusal::OtherColumns => (
                Configuration,
                format!(
                    "the table {table} has other columns than this version needs: call `migrate()` of the outbox"
                ),
            ),
            Refusal::Denied => (
                Configuration,
                format!("{product} does not allow this user to use the table {table}"),
            ),
            Refusal::Transient => {
                (Database, format!("{product} refused a statement of the outbox: try again"))
            }
        },
        sqlx::Error::PoolTimedOut => {
            (Database, format!("{product} did not answer in time, or cannot be reached"))
        }
        sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) => {
            (Configuration, format!("the address of the {product} database cannot be used"))
        }
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => {
            (Configuration, format!("a row of the table {table} cannot be read"))
        }
        _ => (Database, format!("the connection to {product} broke or could not be opened")),
    };
    OutboxError::new(kind, message).with_source(error)
}
