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

/// Longest topic, in bytes.
pub const LONGEST_TOPIC: usize = 255;

/// Longest key, in bytes.
pub const LONGEST_KEY: usize = 1024;

/// Connections of an outbox: relays survey, settle and extend leases at the same time.
const CONNECTIONS: u32 = 4;

/// Largest payload unless the builder says otherwise: NATS takes twice as much, headers included.
const LARGEST_PAYLOAD: usize = 512 * 1024;

/// Events that are published if and only if the transaction which enqueued them commits. Clones share the pool.
///
/// `DB` is [`sqlx::Postgres`], [`sqlx::MySql`] or [`sqlx::Sqlite`], and follows from the pool. See the [module](super).
pub struct Outbox<DB: OutboxDatabase> {
    shared: Arc<Shared<DB>>,
}

impl<DB: OutboxDatabase> Outbox<DB> {
    /// An outbox beside the application's pool, in the table `idempotency_outbox`. Nothing is connected yet.
    ///
    /// Events are enqueued in the application's own transactions. Relays and tools have a few connections of their own, with the options of
    /// that pool and its hooks.
    pub fn new(pool: Pool<DB>) -> Self {
        Self::builder().on_table(pool, Table::standard_named(DEFAULT_TABLE, DB::QUOTE))
    }

    /// Options.
    pub fn builder() -> OutboxBuilder<DB> {
        OutboxBuilder {
            schema: None,
            table: DEFAULT_TABLE.to_owned(),
            largest_payload: LARGEST_PAYLOAD,
            database: PhantomData,
        }
    }

    /// Enqueues an event in the transaction that `connection` is in, by one `INSERT`. Its payload is the JSON of `event`.
    ///
    /// `connection` is `&mut tx` of a [`sqlx::Transaction`], or a connection inside one. The id that comes back is that of all deliveries.
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
    /// - [`OutboxErrorKind::NotInTransaction`]: the connection is not inside a transaction, as far as sqlx knows: one that was begun
    ///   by a statement of the user's own does not count.
    /// - [`OutboxErrorKind::Invalid`]: the topic or the key is empty, has a control character, or is longer than [`LONGEST_TOPIC`] or
    ///   [`LONGEST_KEY`] bytes.
    /// - [`OutboxErrorKind::TooLarge`], [`OutboxErrorKind::Serialization`]: the payload. What JSON cannot express is refused: NaN and the
    ///   infinities, `Some(())` and `Some(None)`, more than 127 levels inside of each other.
    /// - [`OutboxErrorKind::Database`], [`OutboxErrorKind::Configuration`]: the statement failed. The source is the database's error.
    ///
    /// Nothing has been enqueued then, and on Postgres the last two end the transaction.
    ///
    /// # Cancel safety
    ///
    /// The event may or may not be part of the transaction when the future is dropped. Roll it back.
    pub fn enqueue<'a, T: Serialize + ?Sized>(
        &'a self,
        connection: &'a mut DB::Connection,
        topic: &str,
        key: &str,
        event: &T,
    ) -> impl Future<Output = Result<EventId, OutboxError>> + Send + use<'a, DB, T> {
        let mut payload = Vec::new();
        let written = faithful_json(&mut payload, event).map_err(|error| {
            let message = "the event cannot be written as json";
            OutboxError::new(OutboxErrorKind::Serialization, message).with_source(error)
        });
        let insert = written.and_then(|()| self.insert(topic, key, payload));
        async move { self.send(connection, insert?).await }
    }

    /// Likewise, with a payload of the caller's own making.
    ///
    /// # Errors
    ///
    /// As [`enqueue`](Self::enqueue).
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
        check("topic", topic, LONGEST_TOPIC)?;
        check("key", key, LONGEST_KEY)?;
        let (size, largest) = (payload.len(), self.shared.largest_payload);
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
            let message = "the connection is not inside a transaction, with which the event could be committed";
            return Err(OutboxError::new(OutboxErrorKind::NotInTransaction, message));
        }
        let sql = Arc::clone(&self.shared.statements.insert);
        let inserted = DB::execute(connection, sql, insert.arguments).await;
        inserted.map_err(|error| explain::<DB>(error, &self.shared.table))?;
        Ok(insert.id)
    }

    /// Has the relays in this process look at once, after a commit, instead of at their next poll.
    pub fn wake(&self) {
        self.shared.woken.notify_waiters();
    }

    /// A relay that hands this outbox's events to `publisher`.
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

fn check(what: &str, text: &str, longest: usize) -> Result<(), OutboxError> {
    let defect = if text.is_empty() {
        "is empty".to_owned()
    } else if text.len() > longest {
        format!("is longer than {longest} bytes")
    } else if text.chars().any(char::is_control) {
        "has a control character".to_owned()
    } else {
        return Ok(());
    };
    Err(OutboxError::new(OutboxErrorKind::Invalid, format!("the event's {what} {defect}")))
}

/// The number under which a topic and key keep their order, never negative. Two that share one wait for each other, and nothing worse.
pub(super) fn lane(topic: &str, key: &str) -> i64 {
    let mut hasher = Sha256::new();
    // A topic has no control character, so nothing but its end is one.
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
    largest_payload: usize,
    database: PhantomData<fn() -> DB>,
}

impl<DB: OutboxDatabase> OutboxBuilder<DB> {
    /// The schema of the table, or in MySQL its database; what the connection finds by itself unless set. SQLite: the name of an attached file.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// The table; `idempotency_outbox` unless set. Relays publish what is in their outbox's table.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// The largest payload, in bytes; 512 KiB unless set. What the broker does not take either ends up as a dead letter.
    pub fn max_payload(mut self, bytes: usize) -> Self {
        self.largest_payload = bytes;
        self
    }

    /// An outbox beside the application's pool, as [`Outbox::new`]. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Configuration`] where a name is not made of ASCII letters, digits and `_`, begins with a digit, or is longer than
    /// 48 characters.
    pub fn build(self, pool: Pool<DB>) -> Result<Outbox<DB>, OutboxError> {
        let table = Table::new(self.schema.as_deref(), &self.table, DB::QUOTE);
        let table = table
            .map_err(|error| OutboxError::new(OutboxErrorKind::Configuration, error.to_string()))?;
        Ok(self.on_table(pool, table))
    }

    fn on_table(self, pool: Pool<DB>, table: Table) -> Outbox<DB> {
        let statements = Arc::new(DB::statements(&table));
        let (woken, largest_payload) = (Notify::new(), self.largest_payload);
        let connections =
            Connections::new(pool.options().clone(), CONNECTIONS, PATIENCE, address_of(pool));
        let connections = Arc::new(connections);
        let shared = Shared { connections, table, statements, woken, largest_payload };
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
