//! Publishing to real Redis Streams, and reading from them.

use std::collections::BTreeSet;

use idempotency::outbox::{
    Event, EventId, OutboxErrorKind, PublishErrorKind, Publisher, RedisStreams,
};
use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis::streams::{
    StreamAutoClaimOptions, StreamAutoClaimReply, StreamRangeReply, StreamReadOptions,
    StreamReadReply,
};
use testkit::redis::RedisServer;

use super::stage::{Running, Stage, quick};
use crate::stage::in_time;

async fn connect(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    client.get_multiplexed_async_connection().await.unwrap()
}

/// A stream that no other test has.
fn fresh_topic() -> String {
    format!("orders-{}", EventId::random())
}

#[tokio::test]
async fn events_come_out_of_a_stream_as_they_went_in() {
    let url = testkit::redis::shared().url();
    let topic = fresh_topic();
    let streams = RedisStreams::connect(url).unwrap().prefix("shop:");
    let payload: Vec<u8> = (0..=255).collect();
    let at = idem_runtime::record::Timestamp::from_millis(1_700_000_000_123);
    let event = Event::new(EventId::random(), &topic, " \u{1F980} ", payload).enqueued_at(at);
    let empty = Event::new(EventId::random(), &topic, "42", "");
    for event in [&event, &empty] {
        streams.publish(event).await.unwrap();
    }
    let mut redis = connect(url).await;
    let reply: StreamRangeReply = redis.xrange_all(format!("shop:{topic}")).await.unwrap();
    let read: Vec<_> = reply.ids.iter().map(|entry| Event::try_from(entry).unwrap()).collect();
    assert_eq!(read, [event, empty]);
}

#[tokio::test]
async fn an_entry_of_somebody_else_is_no_event() {
    let url = testkit::redis::shared().url();
    let topic = fresh_topic();
    let mut redis = connect(url).await;
    let id = EventId::random().to_string();
    let complete =
        [("id", id.as_str()), ("topic", "t"), ("key", "k"), ("enqueued_at", "1"), ("payload", "p")];
    for missing in 0..complete.len() {
        let mut fields = complete.to_vec();
        fields.remove(missing);
        let _: String = redis.xadd(&topic, "*", &fields).await.unwrap();
    }
    for (field, wrong) in [(0, "42"), (3, "yesterday"), (3, "-1")] {
        let mut fields = complete;
        fields[field].1 = wrong;
        let _: String = redis.xadd(&topic, "*", &fields).await.unwrap();
    }
    let reply: StreamRangeReply = redis.xrange_all(&topic).await.unwrap();
    assert_eq!(reply.ids.len(), 8);
    for entry in &reply.ids {
        let error = Event::try_from(entry).unwrap_err();
        assert_eq!(error.kind(), OutboxErrorKind::Malformed, "{:?}", entry.map);
    }
}

#[tokio::test]
async fn a_stream_is_trimmed_to_about_its_length() {
    let url = testkit::redis::shared().url();
    let topic = fresh_topic();
    let streams = RedisStreams::connect(url).unwrap().max_len(100);
    for _ in 0..1000 {
        streams.publish(&Event::new(EventId::random(), &topic, "42", "1")).await.unwrap();
    }
    let length: usize = connect(url).await.xlen(&topic).await.unwrap();
    assert!((100..500).contains(&length), "{length}");
}

#[tokio::test]
async fn what_a_failure_is_about_is_told_apart() {
    let mut server = RedisServer::start();
    let streams = RedisStreams::connect(server.url()).unwrap();
    let event = Event::new(EventId::random(), "taken", "42", "secret");
    server.command(&["SET", "taken", "no stream"]);
    let refused = streams.publish(&event).await.unwrap_err();
    assert_eq!(refused.kind(), PublishErrorKind::Retryable, "{refused}");
    assert!(!refused.to_string().contains("secret"));
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let other = Event::new(EventId::random(), "free", "42", "secret");
    let full = streams.publish(&other).await.unwrap_err();
    assert_eq!(full.kind(), PublishErrorKind::Unavailable, "{full}");
    server.kill();
    let gone = streams.publish(&other).await.unwrap_err();
    assert_eq!(gone.kind(), PublishErrorKind::Unavailable, "{gone}");
    server.start_again();
    streams.publish(&other).await.unwrap();

    let wrong = RedisStreams::connect("http://:secret@localhost/").unwrap_err();
    assert_eq!(wrong.kind(), OutboxErrorKind::Configuration);
    assert!(!format!("{wrong} {wrong:?}").contains("secret"), "{wrong:?}");
    let streams = RedisStreams::connect("redis://:secret@localhost/").unwrap();
    assert!(!format!("{streams:?}").contains("secret"), "{streams:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_outlives_restarts_of_redis_and_keeps_the_order() {
    let mut server = RedisServer::builder().append_only("always").start();
    let stage = Stage::<sqlx::Sqlite>::new().await;
    let streams = RedisStreams::connect(server.url()).unwrap();
    // One counted attempt would make an event a dead letter.
    let relay = Running::start(quick(stage.outbox.relay(streams).max_attempts(1)));
    let mut ids = Vec::new();
    for round in 0..3 {
        ids.extend(stage.enqueue_many("orders", "42", 50).await);
        if round == 1 {
            server.kill();
            ids.extend(stage.enqueue_many("orders", "42", 50).await);
            server.start_again();
        } else {
            server.restart();
        }
    }
    stage.until_rows(0).await;
    relay.stop().await;
    let reply: StreamRangeReply = connect(&server.url()).await.xrange_all("orders").await.unwrap();
    let mut seen = BTreeSet::new();
    let published = reply.ids.iter().map(|entry| Event::try_from(entry).unwrap().id);
    let first: Vec<_> = published.filter(|id| seen.insert(*id)).collect();
    assert_eq!(first, ids);
    assert!(stage.outbox.dead_letters(1).await.unwrap().is_empty());
}

/// A consumer that dies before it acknowledges leaves its entries to another one of its group.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_consumer_had_goes_to_another_and_has_its_effect_once() {
    use super::killed_relays::on_event;

    let url = testkit::redis::shared().url();
    let topic = fresh_topic();
    let stage = Stage::<sqlx::Sqlite>::new().await;
    let relay = stage.outbox.relay(RedisStreams::connect(url).unwrap());
    let relay = Running::start(quick(relay));
    let ids = stage.enqueue_many(&topic, "42", 20).await;
    stage.until_rows(0).await;
    relay.stop().await;

    let mut redis = connect(url).await;
    let _: () = redis.xgroup_create(&topic, "billing", "0").await.unwrap();
    let options = StreamReadOptions::default().group("billing", "first").count(12);
    let reply: StreamReadReply = redis.xread_options(&[&topic], &[">"], &options).await.unwrap();
    let consumers = crate::stage::Stage::on_memory();
    let first = consumers.process().await;
    // It dies in the middle, with all of its entries unacknowledged.
    for entry in reply.keys.iter().flat_map(|stream| &stream.ids).take(7) {
        let event = Event::try_from(entry).unwrap();
        on_event(&first.idem, &consumers.ledger, event).await.unwrap();
    }
    drop(first);

    let second = consumers.process().await;
    let claimed: StreamAutoClaimReply = redis
        .xautoclaim_options(&topic, "billing", "second", 0, "0", StreamAutoClaimOptions::default())
        .await
        .unwrap();
    let options = StreamReadOptions::default().group("billing", "second");
    let rest: StreamReadReply = redis.xread_options(&[&topic], &[">"], &options).await.unwrap();
    let rest = rest.keys.iter().flat_map(|stream| &stream.ids);
    for entry in claimed.claimed.iter().chain(rest) {
        let event = Event::try_from(entry).unwrap();
        in_time(on_event(&second.idem, &consumers.ledger, event)).await.unwrap();
        let _: usize = redis.xack(&topic, "billing", &[&entry.id]).await.unwrap();
    }
    let effects = consumers.ledger.counts();
    let expected = ids.iter().map(|id| (id.to_string(), 1)).collect();
    assert_eq!(effects, expected);
}
