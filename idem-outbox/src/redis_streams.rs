//! Redis Streams as a broker.

use std::fmt;
use std::sync::Arc;

use redis::streams::StreamId;
use redis::{Cmd, FromRedisValue, Value};

use super::error::{OutboxError, OutboxErrorKind};
use super::event::malformed;
use super::publisher::{PublishError, PublishErrorKind, Publisher};
use super::{Event, EventId};
use idem_runtime::internal::Commands;
use idem_runtime::record::Timestamp;

/// Publishes each event as an entry of the stream that its topic names, by `XADD`.
///
/// The entry's fields are `id`, `topic`, `key`, `enqueued_at` (milliseconds since the Unix epoch)
/// and `payload`; [`Event`] is made from them with `TryFrom`. A consumer with the `redis` crate:
///
/// ```no_run
/// # async fn on_event(event: idempotency::outbox::Event) -> Result<(), idempotency::Error> { Ok(()) }
/// # async fn to_dead_letters(entry: &redis::streams::StreamId) -> Result<(), Box<dyn std::error::Error>> { Ok(()) }
/// # async fn example(mut redis: redis::aio::MultiplexedConnection) -> Result<(), Box<dyn std::error::Error>> {
/// use idempotency::Disposition;
/// use idempotency::outbox::Event;
/// use redis::AsyncCommands;
/// use redis::streams::{StreamReadOptions, StreamReadReply};
///
/// let options = StreamReadOptions::default().group("billing", "worker-1").count(64).block(250);
/// let reply: StreamReadReply = redis.xread_options(&["orders"], &[">"], &options).await?;
/// for entry in reply.keys.iter().flat_map(|stream| &stream.ids) {
///     // Annotated with `name = "billing", key = "billing:{event.id}", on_error = "release"`.
///     let handled = on_event(Event::try_from(entry)?).await;
///     match handled.map_err(|error| error.disposition()) {
///         Ok(()) | Err(Disposition::Acknowledge) => {}
///         Err(Disposition::DeadLetter) => to_dead_letters(entry).await?,
///         Err(_) => continue, // not acknowledged, so redelivered
///     }
///     let _: () = redis.xack("orders", "billing", &[&entry.id]).await?;
/// }
/// # Ok(())
/// # }
/// ```
///
/// `docs/outbox.md` of the repository has a complete consumer, with errors of the handler,
/// malformed messages and entries of dead consumers. Redis does not redeliver an unacknowledged
/// entry by itself: claim it with `XAUTOCLAIM`. A read must block for a shorter time than its
/// connection waits for a reply: 500 ms unless `set_response_timeout` changes it.
///
/// Redis is as durable as its settings: without `appendfsync always` a crash loses up to the last
/// second, and lost events are not published again.
#[derive(Clone)]
pub struct RedisStreams {
    redis: Arc<Commands>,
    prefix: String,
    max_len: Option<u64>,
}

/// Names of an entry's fields.
mod field {
    pub(super) const ID: &str = "id";
    pub(super) const TOPIC: &str = "topic";
    pub(super) const KEY: &str = "key";
    pub(super) const ENQUEUED_AT: &str = "enqueued_at";
    pub(super) const PAYLOAD: &str = "payload";
}

impl RedisStreams {
    /// Streams on the server, the sentinels' primary or the cluster that `url` names; the URLs are
    /// those of [`RedisStorage`](idem_runtime::storage::RedisStorage). It connects when it
    /// publishes the first event, and again after the connection broke.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Configuration`] if the URL is invalid or needs a feature that is off.
    pub fn connect(url: impl AsRef<str>) -> Result<Self, OutboxError> {
        let redis = Commands::new(url.as_ref())
            .map_err(|error| OutboxError::new(OutboxErrorKind::Configuration, error.to_string()))?;
        Ok(Self { redis: Arc::new(redis), prefix: String::new(), max_len: None })
    }

    /// The prefix of all stream names. Default: none.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// About how many entries a stream keeps (`MAXLEN ~`). Older ones are removed, read or not.
    /// Default: all.
    #[must_use]
    pub fn max_len(mut self, entries: u64) -> Self {
        self.max_len = Some(entries);
        self
    }
}

impl Publisher for RedisStreams {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let mut command = Cmd::new();
        command.arg("XADD").arg(format!("{}{}", self.prefix, event.topic));
        if let Some(entries) = self.max_len {
            command.arg("MAXLEN").arg("~").arg(entries);
        }
        command
            .arg("*")
            .arg(field::ID)
            .arg(event.id.to_string())
            .arg(field::TOPIC)
            .arg(&event.topic)
            .arg(field::KEY)
            .arg(&event.key)
            .arg(field::ENQUEUED_AT)
            .arg(event.enqueued_at.as_millis())
            .arg(field::PAYLOAD)
            .arg(&*event.payload);
        self.redis.send(&command).await.map_err(|refusal| {
            let kind = if refusal.is_of_this_key {
                PublishErrorKind::Retryable
            } else {
                PublishErrorKind::Unavailable
            };
            PublishError::new(kind, refusal.error.to_string()).with_source(refusal.error)
        })
    }
}

impl TryFrom<&StreamId> for Event {
    type Error = OutboxError;

    /// The event in an entry that [`RedisStreams`] made.
    fn try_from(entry: &StreamId) -> Result<Self, OutboxError> {
        fn read<T: FromRedisValue>(entry: &StreamId, name: &str) -> Result<T, OutboxError> {
            let value = entry.map.get(name).filter(|value| **value != Value::Nil);
            let value = value.cloned().and_then(|value| T::from_redis_value(value).ok());
            value.ok_or_else(|| malformed(name))
        }
        let id: EventId = read::<String>(entry, field::ID)?.parse()?;
        let topic: String = read(entry, field::TOPIC)?;
        let key: String = read(entry, field::KEY)?;
        let payload: Vec<u8> = read(entry, field::PAYLOAD)?;
        let at = Timestamp::from_millis(read(entry, field::ENQUEUED_AT)?);
        Ok(Self::new(id, topic, key, payload).enqueued_at(at))
    }
}

impl fmt::Debug for RedisStreams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStreams")
            .field("server", &self.redis.server())
            .field("prefix", &self.prefix)
            .field("max_len", &self.max_len)
            .finish_non_exhaustive()
    }
}
