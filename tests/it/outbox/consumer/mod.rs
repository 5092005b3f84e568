//! The consumer of `docs/outbox.md`, as it stands there, on a real stream: with a handler that fails once and one that always does, a message
//! that nobody can handle, and redeliveries of all of them.

use std::collections::HashMap;
use std::sync::Mutex;

use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idempotency::outbox::{Event, OutboxError};
use idempotency::outbox::{EventId, Publisher, RedisStreams};
use idempotency::{Disposition, idempotent};
use redis::aio::MultiplexedConnection;
use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamId, StreamPendingCountReply,
    StreamPendingReply, StreamRangeReply, StreamReadOptions, StreamReadReply,
};
use redis::{AsyncCommands, RedisResult};
use serde::Deserialize;

use crate::stage::{Process, Stage};

const GROUP: &str = "billing";
const MAX_DELIVERIES: usize = 4;

include!("recipe.rs");

/// What a shop says of an order.
#[derive(Deserialize)]
struct OrderPaid {
    order: String,
    /// How often the payment service does not answer.
    failures: usize,
}

/// How often each order was tried, and how often it was billed.
static BILLED: Mutex<Option<HashMap<String, (usize, usize)>>> = Mutex::new(None);

async fn bill(order: &OrderPaid) -> Result<(), BillingError> {
    tokio::task::yield_now().await;
    let mut billed = BILLED.lock().unwrap();
    let (tries, effects) = billed.get_or_insert_default().entry(order.order.clone()).or_default();
    *tries += 1;
    if *tries <= order.failures {
        return Err(BillingError::Unavailable);
    }
    *effects += 1;
    Ok(())
}

fn billed(order: &str) -> (usize, usize) {
    let billed = BILLED.lock().unwrap();
    billed.as_ref().and_then(|billed| billed.get(order).copied()).unwrap_or_default()
}

/// A stream with a consumer's group, and the process that consumes.
struct Consumer {
    stream: String,
    redis: MultiplexedConnection,
    publisher: RedisStreams,
    process: Process,
}

impl Consumer {
    async fn new() -> Self {
        let url = testkit::redis::shared().url();
        let client = redis::Client::open(url).unwrap();
        let mut redis = client.get_multiplexed_async_connection().await.unwrap();
        let stream = format!("orders-{}", EventId::random());
        let _: () = redis.xgroup_create_mkstream(&stream, GROUP, "0").await.unwrap();
        let publisher = RedisStreams::connect(url).unwrap();
        Self { stream, redis, publisher, process: Stage::on_redis().process().await }
    }

    /// Publishes an order under a name that no other test has.
    async fn publish(&self, failures: usize) -> (Event, String) {
        let order = EventId::random().to_string();
        let payload = format!(r#"{{"order": "{order}", "failures": {failures}}}"#);
        let event = Event::new(EventId::random(), &self.stream, &order, payload);
        self.publisher.publish(&event).await.unwrap();
        (event, order)
    }

    /// Reads what there is, as the documentation does, in a loop.
    async fn deliver(&self, rounds: usize) {
        for _ in 0..rounds {
            let mut redis = self.redis.clone();
            let consuming = consume(&mut redis, &self.stream, "worker-1", 0);
            idempotency::with(self.process.idem.clone(), consuming).await.unwrap();
        }
    }

    async fn unacknowledged(&self) -> usize {
        let pending: StreamPendingReply =
            self.redis.clone().xpending(&self.stream, GROUP).await.unwrap();
        pending.count()
    }

    /// The dead letters: keys of events, and why.
    async fn dead(&self) -> Vec<(Option<String>, String)> {
        let dead = format!("{}.dead", self.stream);
        let letters: StreamRangeReply = self.redis.clone().xrange_all(&dead).await.unwrap();
        let letters = letters.ids.iter();
        letters.map(|letter| (letter.get("key"), letter.get("error").unwrap())).collect()
    }
}

#[test]
fn the_documentation_shows_this_consumer() {
    let shown = include_str!("../../../../docs/outbox.md");
    assert!(shown.contains(include_str!("recipe.rs")), "docs/outbox.md shows another consumer");
}

#[tokio::test]
async fn an_event_whose_handler_fails_once_takes_effect_once_and_is_acknowledged() {
    let consumer = Consumer::new().await;
    let (event, order) = consumer.publish(1).await;
    consumer.deliver(1).await;
    assert_eq!((billed(&order), consumer.unacknowledged().await), ((1, 0), 1));
    consumer.deliver(1).await;
    assert_eq!((billed(&order), consumer.unacknowledged().await), ((2, 1), 0));
    // The relay died after publishing, and another one publishes it again.
    consumer.publisher.publish(&event).await.unwrap();
    consumer.deliver(2).await;
    assert_eq!((billed(&order), consumer.unacknowledged().await), ((2, 1), 0));
    assert_eq!(consumer.dead().await, []);
}

#[tokio::test]
async fn a_message_that_nobody_can_handle_is_dead_lettered_and_blocks_nothing() {
    let consumer = Consumer::new().await;
    let poison = Event::new(EventId::random(), &consumer.stream, "poison", "no JSON");
    consumer.publisher.publish(&poison).await.unwrap();
    let no_event = [("what", "no event")];
    let _: String = consumer.redis.clone().xadd(&consumer.stream, "*", &no_event).await.unwrap();
    let (_, order) = consumer.publish(0).await;
    consumer.deliver(1).await;
    assert_eq!((billed(&order), consumer.unacknowledged().await), ((1, 1), 0));
    let dead = consumer.dead().await;
    let [(poison_key, of_poison), (None, of_no_event)] = &dead[..] else { panic!("{dead:?}") };
    assert_eq!(poison_key.as_deref(), Some("poison"));
    assert!(of_poison.contains("payload is not the json of the expected type"), "{of_poison}");
    assert!(of_no_event.contains("not an event of an outbox"), "{of_no_event}");
    // Published again, it is a dead letter again, with its first failure as the reason.
    consumer.publisher.publish(&poison).await.unwrap();
    consumer.deliver(1).await;
    assert_eq!((consumer.dead().await.len(), consumer.unacknowledged().await), (3, 0));
}

#[tokio::test]
async fn a_persistent_error_is_dead_lettered_after_so_many_deliveries() {
    let consumer = Consumer::new().await;
    let (_, order) = consumer.publish(usize::MAX).await;
    consumer.deliver(MAX_DELIVERIES - 1).await;
    assert_eq!((billed(&order).0, consumer.unacknowledged().await), (MAX_DELIVERIES - 1, 1));
    consumer.deliver(3).await;
    assert_eq!((billed(&order).0, consumer.unacknowledged().await), (MAX_DELIVERIES, 0));
    let dead = consumer.dead().await;
    assert_eq!(dead, [(Some(order), "the payment service does not answer".to_owned())]);
}

#[tokio::test]
async fn outage_of_the_storage_makes_no_dead_letter() {
    let consumer = Consumer::new().await;
    let (_, order) = consumer.publish(0).await;
    consumer.process.faults.always(Verb::Claim, Fault::Fail(StorageErrorKind::Full));
    consumer.deliver(MAX_DELIVERIES + 2).await;
    assert_eq!((billed(&order), consumer.unacknowledged().await), ((0, 0), 1));
    consumer.process.faults.clear();
    consumer.deliver(1).await;
    assert_eq!((billed(&order), consumer.unacknowledged().await), ((1, 1), 0));
    assert_eq!(consumer.dead().await, []);
}
