//! What events are published to: a stream of a Redis server, or without one a list in this process.

use std::collections::VecDeque;

use anyhow::Context as _;
use idempotency::outbox::{Event, PublishError, Publisher, RedisStreams};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis::streams::{StreamReadOptions, StreamReadReply};
use tokio::sync::Mutex;

use crate::say;
use crate::shop::TOPIC;

/// The consumers that share the work.
const GROUP: &str = "warehouse";

pub(crate) enum Broker {
    InProcess(Mutex<VecDeque<Event>>),
    Redis { publisher: RedisStreams, stream: String, connection: MultiplexedConnection },
}

impl Broker {
    pub(crate) async fn connect(redis: Option<&str>) -> anyhow::Result<Self> {
        let Some(url) = redis else { return Ok(Self::InProcess(Mutex::default())) };
        // A stream of this run's own.
        let prefix = format!("outbox-relay:{:06x}:", fastrand::u32(..1 << 24));
        let stream = format!("{prefix}{TOPIC}");
        let publisher = RedisStreams::connect(url)?.prefix(prefix).max_len(10_000);
        let client = redis::Client::open(url)?;
        let mut connection = client
            .get_multiplexed_async_connection()
            .await
            .context("the Redis server cannot be reached")?;
        let _: () = connection.xgroup_create_mkstream(&stream, GROUP, "0").await?;
        say(&format!("events go to the stream {stream}"));
        Ok(Self::Redis { publisher, stream, connection })
    }

    /// Hands what nobody has read yet to `handle`, and returns how many deliveries that were.
    pub(crate) async fn deliver(
        &self,
        mut handle: impl AsyncFnMut(Event) -> anyhow::Result<()>,
    ) -> anyhow::Result<usize> {
        let mut deliveries = 0;
        match self {
            Self::InProcess(events) => {
                while let Some(event) = events.lock().await.pop_front() {
                    handle(event).await?;
                    deliveries += 1;
                }
            }
            Self::Redis { stream, connection, .. } => {
                let mut redis = connection.clone();
                let options = StreamReadOptions::default().group(GROUP, "packer-1").count(64);
                loop {
                    let reply: StreamReadReply =
                        redis.xread_options(&[stream], &[">"], &options).await?;
                    let entries: Vec<_> = reply.keys.into_iter().flat_map(|key| key.ids).collect();
                    if entries.is_empty() {
                        break;
                    }
                    for entry in entries {
                        handle(Event::try_from(&entry)?).await?;
                        // Only now: who dies before gets it again.
                        let _: usize = redis.xack(stream, GROUP, &[&entry.id]).await?;
                        deliveries += 1;
                    }
                }
            }
        }
        Ok(deliveries)
    }
}

impl Publisher for Broker {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        match self {
            Self::InProcess(events) => events.lock().await.push_back(event.clone()),
            Self::Redis { publisher, .. } => publisher.publish(event).await?,
        }
        say(&format!("published: {}, of order {}", event.id, event.key));
        Ok(())
    }
}
