//! Publishing to real NATS streams, and reading from them.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{self, Context, stream};
use futures_util::StreamExt;
use idempotency::outbox::{
    Event, EventId, JetStream, OutboxErrorKind, PublishErrorKind, Publisher,
};
use testkit::nats::NatsServer;

use super::killed_relays::on_event;
use super::stage::{Running, Stage, quick};
use crate::stage::in_time;

async fn connect(url: &str) -> Context {
    jetstream::new(async_nats::connect(url).await.unwrap())
}

/// A name that no other test has.
fn fresh_name() -> String {
    format!("orders-{}", EventId::random())
}

/// A stream of everything below a name.
async fn stream_of(context: &Context, name: &str) -> stream::Stream {
    let config = stream::Config {
        name: name.to_owned(),
        subjects: vec![format!("{name}.>")],
        ..stream::Config::default()
    };
    context.create_stream(config).await.unwrap()
}

async fn consumer_of(stream: &stream::Stream) -> PullConsumer {
    let config = pull::Config {
        durable_name: Some("billing".into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_millis(500),
        ..pull::Config::default()
    };
    stream.create_consumer(config).await.unwrap()
}

/// So many messages, unacknowledged.
async fn take(consumer: &PullConsumer, count: usize) -> Vec<jetstream::Message> {
    let messages = consumer.messages().await.unwrap().take(count);
    in_time(messages.map(Result::unwrap).collect()).await
}

#[tokio::test]
async fn events_come_out_of_a_stream_as_they_went_in() {
    let context = connect(&testkit::nats::shared().url()).await;
    let name = fresh_name();
    let stream = stream_of(&context, &name).await;
    let publisher = JetStream::new(context).prefix(format!("{name}."));
    let payload: Vec<u8> = (0..=255).collect();
    let at = idem_runtime::record::Timestamp::from_millis(1_700_000_000_123);
    let key = " 100% of \u{1F980}: Łukasz ";
    let event = Event::new(EventId::random(), "Zoë.\u{1F980}", key, payload).enqueued_at(at);
    let empty = Event::new(EventId::random(), "shop.orders", "42", "");
    for event in [&event, &empty] {
        publisher.publish(event).await.unwrap();
    }
    let messages = take(&consumer_of(&stream).await, 2).await;
    let read: Vec<_> =
        messages.iter().map(|message| Event::try_from(&**message).unwrap()).collect();
    assert_eq!(read, [event, empty]);
    let subjects: Vec<_> = messages.iter().map(|message| message.subject.to_string()).collect();
    assert_eq!(subjects, [format!("{name}.Zoë.\u{1F980}"), format!("{name}.shop.orders")]);
}

#[tokio::test]
async fn a_message_of_somebody_else_is_no_event() {
    let context = connect(&testkit::nats::shared().url()).await;
    let name = fresh_name();
    let stream = stream_of(&context, &name).await;
    let bare = context.publish(format!("{name}.x"), "{}".into()).await.unwrap();
    bare.await.unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Nats-Msg-Id", "42");
    let odd = context.publish_with_headers(format!("{name}.x"), headers, "{}".into());
    odd.await.unwrap().await.unwrap();
    for message in take(&consumer_of(&stream).await, 2).await {
        let error = Event::try_from(&*message).unwrap_err();
        assert_eq!(error.kind(), OutboxErrorKind::Malformed, "{error}");
    }
}

#[tokio::test]
async fn what_is_published_again_is_stored_once() {
    let context = connect(&testkit::nats::shared().url()).await;
    let name = fresh_name();
    let mut stream = stream_of(&context, &name).await;
    let publisher = JetStream::new(context).prefix(format!("{name}."));
    let event = Event::new(EventId::random(), "orders", "42", "1");
    for _ in 0..3 {
        publisher.publish(&event).await.unwrap();
    }
    assert_eq!(stream.info().await.unwrap().state.messages, 1);
}

#[tokio::test]
async fn what_a_failure_is_about_is_told_apart() {
    let mut server = NatsServer::start();
    let context = connect(&server.url()).await;
    stream_of(&context, "orders").await;
    let publisher = JetStream::new(context);
    let event = |topic: &str, payload: Vec<u8>| Event::new(EventId::random(), topic, "42", payload);
    for topic in ["orders.*", "orders.>", "orders.a b", "orders..a", "orders."] {
        let refused = publisher.publish(&event(topic, Vec::new())).await.unwrap_err();
        assert_eq!(refused.kind(), PublishErrorKind::Permanent, "{topic}");
    }
    let large = vec![0; 1024 * 1024];
    let refused = publisher.publish(&event("orders.a", large)).await.unwrap_err();
    assert_eq!(refused.kind(), PublishErrorKind::Permanent, "{refused}");
    let unknown = publisher.publish(&event("parcels", Vec::new())).await.unwrap_err();
    assert_eq!(unknown.kind(), PublishErrorKind::Retryable, "{unknown}");
    server.kill();
    let event = event("orders.a", vec![1]);
    let away = async {
        // The client learns of it a moment later.
        loop {
            match publisher.publish(&event).await {
                Err(error) => break error,
                Ok(()) => tokio::task::yield_now().await,
            }
        }
    };
    let away = in_time(away).await;
    assert_eq!(away.kind(), PublishErrorKind::Unavailable, "{away}");
    server.start_again();
    let back = async {
        while publisher.publish(&event).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(back).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_outlives_restarts_of_nats_and_keeps_the_order() {
    let mut server = NatsServer::start();
    let context = connect(&server.url()).await;
    let nats = stream_of(&context, "shop").await;
    let stage = Stage::<sqlx::Sqlite>::new().await;
    let publisher = JetStream::new(context.clone()).prefix("shop.");
    let relay = Running::start(quick(stage.outbox.relay(publisher).max_attempts(1000)));
    let mut ids = Vec::new();
    for round in 0..3 {
        ids.extend(stage.enqueue_many("orders", "42", 50).await);
        if round == 1 {
            server.kill();
            ids.extend(stage.enqueue_many("orders", "42", 50).await);
        } else {
            server.stop_gracefully();
        }
        server.start_again();
    }
    stage.until_rows(0).await;
    relay.stop().await;
    assert!(stage.outbox.dead_letters(1).await.unwrap().is_empty());
    let messages = take(&consumer_of(&nats).await, 200).await;
    let stored: Vec<_> =
        messages.iter().map(|message| Event::try_from(&**message).unwrap().id).collect();
    assert_eq!(stored, ids, "the stream itself drops repetitions");
}

/// A consumer that dies before it acknowledges gets its messages again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_consumer_had_comes_again_and_has_its_effect_once() {
    let context = connect(&testkit::nats::shared().url()).await;
    let name = fresh_name();
    let nats = stream_of(&context, &name).await;
    let stage = Stage::<sqlx::Sqlite>::new().await;
    let publisher = JetStream::new(context).prefix(format!("{name}."));
    let relay = Running::start(quick(stage.outbox.relay(publisher)));
    let ids = stage.enqueue_many("orders", "42", 20).await;
    stage.until_rows(0).await;
    relay.stop().await;

    let consumer = consumer_of(&nats).await;
    let consumers = crate::stage::Stage::on_memory();
    let first = consumers.process().await;
    for message in take(&consumer, 7).await {
        let event = Event::try_from(&*message).unwrap();
        on_event(&first.idem, &consumers.ledger, event).await.unwrap();
    }
    drop(first);

    let second = consumers.process().await;
    let mut messages = consumer.messages().await.unwrap();
    let mut acknowledged = std::collections::BTreeSet::new();
    while acknowledged.len() < ids.len() {
        let message = in_time(messages.next()).await.unwrap().unwrap();
        let event = Event::try_from(&*message).unwrap();
        acknowledged.insert(event.id);
        on_event(&second.idem, &consumers.ledger, event).await.unwrap();
        message.ack().await.unwrap();
    }
    let expected = ids.iter().map(|id| (id.to_string(), 1)).collect();
    assert_eq!(consumers.ledger.counts(), expected);
}
