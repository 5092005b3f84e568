//! The outbox in a database: enqueuing, and what relays and tools share.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use sqlx::{Connection, Pool};
use tokio::sync::Notify;

use super::EventId;
use super::database::{DEFAULT_TABLE, OutboxDatabase, Value};
use super::error::{OutboxError, OutboxErrorKind};
use super::publisher::Publisher;
use super::relay::Relay;
use super::store::{Shared, explain};
use idem_runtime::internal::faithful_json;
use idem_runtime::internal::sql::Table;
use idem_runtime::internal::sql::{Connections, PATIENCE, address_of};

/// The longest topic, in bytes.
pub const MAX_TOPIC_LEN: usize = 255;

/// The longest key, in bytes.
pub const MAX_KEY_LEN: usize = 1024;

/// Connections of an outbox: its relays poll, acknowledge and extend leases concurrently.
const CONNECTIONS: u32 = 4;

/// The default for the largest payload. NATS accepts twice as much, headers included.
const DEFAULT_MAX_PAYLOAD: usize = 512 * 1024;

/// Events that are published if and only if the transaction that enqueues them commits. Clones
/// share the pool.
///
/// `DB` is [`sqlx::Postgres`], [`sqlx::MySql`] or [`sqlx::Sqlite`], and follows from the pool. See
/// the [module](super).
pub struct Outbox<DB: OutboxDatabase> {
    shared: Arc<Shared<DB>>,
}

impl<DB: OutboxDatabase> Outbox<DB> {
    /// An outbox beside the application's pool, in the table `idempotency_outbox`. It does not
    /// connect yet.
    ///
    /// Events are enqueued in the application's own transactions. Relays and tools use a few
    /// connections of their own, with the options and hooks of that pool.
    pub fn new(pool: Pool<DB>) -> Self {
        Self::builder().on_table(pool, Table::standard_named(DEFAULT_TABLE, DB::QUOTE))
    }

    /// Options.
    pub fn builder() -> OutboxBuilder<DB> {
        OutboxBuilder {
            schema: None,
            table: DEFAULT_TABLE.to_owned(),
            max_payload: DEFAULT_MAX_PAYLOAD,
            database: PhantomData,
        }
    }

    /// Enqueues an event in the transaction of `connection`, by one `INSERT`. Its payload is the
    /// JSON of `event`. Returns the id of all its deliveries.
    ///
    /// `connection` is `&mut tx` of a [`sqlx::Transaction`], or a connection inside one.
    ///
    /// ```no_run
    /// # #[cfg(feature = "postgres")]
    /// # async fn example(pool: sqlx::PgPool) -> Result<(), Box<dyn std::error::Error>> {
    /// use idempotency::outbox::Outbox;
    ///
    /// let outbox = Outbox::new(pool.clone());
    /// let mut tx = pool.begin().await?;
    /// sqlx::query("UPDATE orders SET state = 'paid' WHERE id = 42").execute(&mut *tx).await?;
    /// outbox.enqueue(&mut tx, "orders", "42", &serde_json::json!({ "paid": 1999 })).await?;
    /// tx.commit().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// - [`OutboxErrorKind::NotInTransaction`]: sqlx knows of no transaction on the connection. It does
    ///   not know of one that a `BEGIN` statement of the user's own began.
    /// - [`OutboxErrorKind::Invalid`]: the topic or the key is empty, has a control character, or is
    ///   longer than [`MAX_TOPIC_LEN`] or [`MAX_KEY_LEN`] bytes.
    /// - [`OutboxErrorKind::TooLarge`], [`OutboxErrorKind::Serialization`]: the payload. It cannot hold
    ///   what JSON cannot express: NaN and the infinities, `Some(())` and `Some(None)`, more than 127
    ///   nested levels.
    /// - [`OutboxErrorKind::Database`], [`OutboxErrorKind::Configuration`]: the statement failed. The
    ///   source is the database's error.
    ///
    /// After an error nothing is enqueued. On Postgres the last two abort the transaction.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the event may or may not be part of the transaction. Roll it
    /// back.
    pub fn enqueue<'a, T: Serialize + ?Sized>(
        &'a self,
        connection: &'a mut DB::Connection,
        topic: &str,
        key: &str,
        event: &T,
    ) -> impl Future<Output = Result<EventId, OutboxError>> + Send + use<'a, DB, T> {
        let mut payload = Vec::new();
        let written = faithful_json(&mut payload, event).map_err(|error| {
            let message = "the event cannot be serialized as json";
            OutboxError::new(OutboxErrorKind::Serialization, message).with_source(error)
        });
        let insert = written.and_then(|()| self.insert(topic, key, payload));
        async move { self.send(connection, insert?).await }
    }

    /// Like [`enqueue`](Self::enqueue), with bytes as the payload.
    ///
    /// # Errors
    ///
    /// Those of [`enqueue`](Self::enqueue), without `Serialization`.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, the event may or may not be part of the transaction. Roll it
    /// back.
    pub async fn enqueue_bytes(
        &self,
        connection: &mut DB::Connection,
        topic: &str,
        key: &str,
        payload: impl Into<Vec<u8>>,
    ) -> Result<EventId, OutboxError> {
        let insert = self.insert(topic, key, payload.into());
        self.send(connection, insert?).await
    }

    /// The arguments of the `INSERT`, checked.
    fn insert(&self, topic: &str, key: &str, payload: Vec<u8>) -> Result<Insert, OutboxError> {
        check("topic", topic, MAX_TOPIC_LEN)?;
        check("key", key, MAX_KEY_LEN)?;
        let (size, largest) = (payload.len(), self.shared.max_payload);
        if size > largest {
            let message =
                format!("the event's payload has {size} bytes, and {largest} are allowed");
            return Err(OutboxError::new(OutboxErrorKind::TooLarge, message));
        }
        let id = EventId::random();
        let arguments = vec![
            Value::Text(id.to_string()),
            Value::Integer(lane(topic, key)),
            Value::Text(topic.to_owned()),
            Value::Text(key.to_owned()),
            Value::Bytes(payload),
        ];
        Ok(Insert { id, arguments })
    }

    async fn send(
        &self,
        connection: &mut DB::Connection,
        insert: Insert,
    ) -> Result<EventId, OutboxError> {
        if !connection.is_in_transaction() {
            let message =
                "the connection is not inside a transaction: begin one, and enqueue in it";
            return Err(OutboxError::new(OutboxErrorKind::NotInTransaction, message));
        }
        let sql = Arc::clone(&self.shared.statements.insert);
        let inserted = DB::execute(connection, sql, insert.arguments).await;
        inserted.map_err(|error| explain::<DB>(error, &self.shared.table))?;
        Ok(insert.id)
    }

    /// Makes the relays of this process poll at once instead of at their next interval. Call it
    /// after a commit.
    pub fn wake(&self) {
        self.shared.woken.notify_waiters();
    }

    /// A relay that publishes this outbox's events to `publisher`.
    pub fn relay<P: Publisher>(&self, publisher: P) -> Relay<DB, P> {
        Relay::new(self.shared(), publisher)
    }

    pub(super) fn shared(&self) -> Arc<Shared<DB>> {
        Arc::clone(&self.shared)
    }
}

/// An event to be enqueued.
struct Insert {
    id: EventId,
    arguments: Vec<Value>,
}

fn check(what: &str, text: &str, max_len: usize) -> Result<(), OutboxError> {
    let defect = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > max_len {
        format!("is longer than {max_len} bytes")
    } else if text.chars().any(char::is_control) {
        "has a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(OutboxError::new(OutboxErrorKind::Invalid, format!("the event's {what} {defect}")))
}

/// The number of the lane in which events of a topic and key keep their order; never negative. Keys
/// that share a lane wait for each other, which costs time alone.
pub(super) fn lane(topic: &str, key: &str) -> i64 {
    let mut hasher = Sha256::new();
    // A topic has no control character, so the first one is the separator.
    hasher.update(topic);
    hasher.update([0]);
    hasher.update(key);
    let hash: [u8; 32] = hasher.finalize().into();
    let head = hash.first_chunk().map_or(0, |head| u64::from_be_bytes(*head));
    (head >> 1).cast_signed()
}

/// Options of an [`Outbox`]. From [`Outbox::builder`].
#[must_use = "a builder does nothing until `build` is called"]
#[derive(Clone, Debug)]
pub struct OutboxBuilder<DB> {
    schema: Option<String>,
    table: String,
    max_payload: usize,
    database: PhantomData<fn() -> DB>,
}

impl<DB: OutboxDatabase> OutboxBuilder<DB> {
    /// The schema of the table; in MySQL its database, in SQLite the name of an attached file.
    /// Default: the connection's.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// The table. Default: `idempotency_outbox`. A relay publishes the events of its outbox's
    /// table.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// The largest payload, in bytes. Default: 512 KiB. An event that is too large for the broker
    /// becomes a dead letter.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.max_payload = bytes;
        self
    }

    /// An outbox beside the application's pool, as [`Outbox::new`]. It does not connect yet.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Configuration`] if a name has a character other than ASCII letters,
    /// digits and `_`, begins with a digit, or is longer than 48 characters.
    pub fn build(self, pool: Pool<DB>) -> Result<Outbox<DB>, OutboxError> {
        let table = Table::new(self.schema.as_deref(), &self.table, DB::QUOTE);
        let table = table
            .map_err(|error| OutboxError::new(OutboxErrorKind::Configuration, error.to_string()))?;
        Ok(self.on_table(pool, table))
    }

    fn on_table(self, pool: Pool<DB>, table: Table) -> Outbox<DB> {
        let statements = Arc::new(DB::statements(&table));
        let (woken, max_payload) = (Notify::new(), self.max_payload);
        let connections =
            Connections::new(pool.options().clone(), CONNECTIONS, PATIENCE, address_of(pool));
        let connections = Arc::new(connections);
        let shared = Shared { connections, table, statements, woken, max_payload };
        Outbox { shared: Arc::new(shared) }
    }
}

impl<DB: OutboxDatabase> Clone for Outbox<DB> {
    fn clone(&self) -> Self {
        Self { shared: self.shared() }
    }
}

impl<DB: OutboxDatabase> fmt::Debug for Outbox<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::lane;

    #[test]
    fn topics_and_keys_are_kept_apart() {
        assert_eq!(lane("orders", "42"), lane("orders", "42"));
        assert_ne!(lane("orders", "42"), lane("order", "s42"));
        assert_ne!(lane("orders", "a"), lane("orders", "A"));
        assert!((0..1000).all(|key| lane("orders", &key.to_string()) >= 0));
    }
}
