//! A process that handles the events of a Redis stream, as the [`Consuming`] in its only argument says, until it is killed.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "it talks to the tests, and a failed one is their failure"
)]

use std::io::Write;
use std::time::Duration;

use idem_runtime::{Error, ErrorKind, Idempotency};
use idem_tests::{Consumed, Consuming, Point};
use idempotency::idempotent;
use idempotency::outbox::Event;
use redis::aio::MultiplexedConnection;
use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamId, StreamReadOptions, StreamReadReply,
};
use redis::{AsyncCommands, AsyncConnectionConfig, RedisResult};
use testkit::ledger::Ledger;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let told = std::env::args().nth(1).expect("what to do is the argument");
    let told: Consuming = serde_json::from_str(&told).expect("the argument says what to do");
    let builder = Idempotency::connect_builder(&told.storage).await.expect("the storage is there");
    let builder = builder.namespace(&told.namespace).lease(told.lease);
    let idem = builder.build().expect("the settings make sense");
    let client = redis::Client::open(told.redis.as_str()).expect("the address is one");
    // A busy machine takes its time.
    let patient = AsyncConnectionConfig::new().set_response_timeout(None);
    let redis = client.get_multiplexed_async_connection_with_config(&patient).await;
    let redis = redis.expect("the server is there");
    let consumer = Consumer { ledger: Ledger::open(&told.ledger), told, idem };
    consumer.run(redis).await.expect("the server stays there");
}

struct Consumer {
    told: Consuming,
    idem: Idempotency,
    ledger: Ledger,
}

impl Consumer {
    async fn run(&self, mut redis: MultiplexedConnection) -> RedisResult<()> {
        let Consuming { stream, name, .. } = &self.told;
        let new = StreamReadOptions::default().group(Consuming::GROUP, name).count(4);
        loop {
            let left = self.left_behind(&mut redis).await?;
            let new: StreamReadReply = redis.xread_options(&[stream], &[">"], &new).await?;
            let new = new.keys.into_iter().flat_map(|stream| stream.ids);
            let entries: Vec<_> = left.into_iter().chain(new).collect();
            if entries.is_empty() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            for entry in &entries {
                if self.handle(entry).await {
                    let _: usize = redis.xack(stream, Consuming::GROUP, &[&entry.id]).await?;
                }
            }
        }
    }

    /// What others of the group have read and not acknowledged. They may be slow, not dead.
    async fn left_behind(&self, redis: &mut MultiplexedConnection) -> RedisResult<Vec<StreamId>> {
        let Consuming { stream, name, lease, .. } = &self.told;
        let (options, idle) = (StreamAutoClaimOptions::default().count(4), lease.as_millis());
        let idle = usize::try_from(idle).expect("a lease is short");
        let reply: StreamAutoClaimReply =
            redis.xautoclaim_options(stream, Consuming::GROUP, name, idle, "0", options).await?;
        Ok(reply.claimed)
    }

    /// Handles an entry, and says whether that is the end of it.
    async fn handle(&self, entry: &StreamId) -> bool {
        let event = Event::try_from(entry).expect("the stream has nothing but events");
        let id = event.id.to_string();
        self.comes_to(Point::Read, &id).await;
        let handled = if self.told.parks {
            on_event_at_most_once(self, event).await
        } else {
            on_event(self, event).await
        };
        let told = match handled {
            Ok(()) => Consumed::Handled { event: id.clone() },
            Err(error) if error.kind() == ErrorKind::Indeterminate => {
                Consumed::InDoubt { event: id.clone() }
            }
            // It is delivered again.
            Err(_) => return false,
        };
        self.comes_to(Point::Recorded, &id).await;
        tell(&told);
        true
    }

    async fn effect(&self, event: &Event) -> Result<(), Error> {
        let id = event.id.to_string();
        self.comes_to(Point::Begun, &id).await;
        self.ledger.record(&id, &event.key);
        self.comes_to(Point::Effected, &id).await;
        Ok(())
    }

    async fn comes_to(&self, point: Point, event: &str) {
        if self.told.stands_still == Some(point) {
            tell(&Consumed::StandsStill { event: event.to_owned() });
            std::future::pending::<()>().await;
        }
    }
}

#[idempotent(
    name = "on_event",
    key = "event:{event.id}",
    wait = "1m",
    on_error = "release",
    with = consumer.idem,
    skip(consumer)
)]
async fn on_event(consumer: &Consumer, event: Event) -> Result<(), Error> {
    consumer.effect(&event).await
}

#[idempotent(
    name = "on_event_at_most_once",
    key = "event:{event.id}",
    wait = "1m",
    on_error = "release",
    on_crash = "park",
    with = consumer.idem,
    skip(consumer)
)]
async fn on_event_at_most_once(consumer: &Consumer, event: Event) -> Result<(), Error> {
    consumer.effect(&event).await
}

fn tell(what: &Consumed) {
    let line = serde_json::to_string(what).expect("it is JSON");
    let mut out = std::io::stdout().lock();
    // A test that has ended reads no more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}
