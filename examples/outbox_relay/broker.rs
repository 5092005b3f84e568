//! What events are published to: a stream of a Redis server, or without one a list in this process.

use std::collections::VecDeque;

use anyhow::Context as _;
use idempotency::Disposition;
use idempotency::outbox::{Event, PublishError, Publisher, RedisStreams};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamReadOptions, StreamReadReply,
};
use tokio::sync::Mutex;

use crate::say;
use crate::shop::TOPIC;

/// The consumers that share the work.
const GROUP: &str = "warehouse";
const PACKER: &str = "packer-1";

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
        mut handle: impl AsyncFnMut(Event) -> Disposition,
    ) -> anyhow::Result<usize> {
        let mut deliveries = 0;
        match self {
            Self::InProcess(events) => {
                while let Some(event) = next(events).await {
                    deliveries += 1;
                    match handle(event.clone()).await {
                        Disposition::Acknowledge => {}
                        Disposition::DeadLetter => dead_letter(&event.id.to_string()),
                        _ => events.lock().await.push_back(event),
                    }
                }
            }
            Self::Redis { stream, connection, .. } => {
                let mut redis = connection.clone();
                let options = StreamReadOptions::default().group(GROUP, PACKER).count(64);
                loop {
                    let reply: StreamReadReply =
                        redis.xread_options(&[stream], &[">"], &options).await?;
                    let mut entries: Vec<_> =
                        reply.keys.into_iter().flat_map(|key| key.ids).collect();
                    if entries.is_empty() {
                        // Unacknowledged entries. With several packers, leave each some time for
                        // the entries that it has read.
                        let left: StreamAutoClaimReply =
                            redis.xautoclaim_options(stream, GROUP, PACKER, 0, "0", all()).await?;
                        entries = left.claimed;
                    }
                    if entries.is_empty() {
                        break;
                    }
                    for entry in entries {
                        deliveries += 1;
                        match handle(Event::try_from(&entry)?).await {
                            Disposition::Acknowledge => {}
                            Disposition::DeadLetter => dead_letter(&entry.id),
                            _ => continue,
                        }
                        // Only now: if this process crashes earlier, another one gets it.
                        let _: usize = redis.xack(stream, GROUP, &[&entry.id]).await?;
                    }
                }
            }
        }
        Ok(deliveries)
    }
}

/// The next event. The lock must not last as long as its handling, which may put the event back.
async fn next(events: &Mutex<VecDeque<Event>>) -> Option<Event> {
    events.lock().await.pop_front()
}

fn all() -> StreamAutoClaimOptions {
    StreamAutoClaimOptions::default().count(64)
}

/// A service moves the message to the dead letters.
fn dead_letter(delivery: &str) {
    say(&format!("dead letter: {delivery}"));
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
