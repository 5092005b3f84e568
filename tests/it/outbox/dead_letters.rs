//! Events that cannot be published: attempts, dead letters, and what people do about them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use idempotency::outbox::{Event, EventId, OnDeadLetter, PublishError, Publisher};
use testkit::wait;

use super::recorder::Recorder;
use super::stage::{Db, Running, Stage, on_every_database, quick};
use crate::stage::PATIENCE;

on_every_database!(
    event_is_a_dead_letter_after_its_attempts_and_can_be_redriven,
    later_events_wait_for_a_dead_one_where_that_was_asked_for,
    a_dead_event_can_be_discarded,
    permanent_failure_makes_a_dead_letter_at_once,
    a_broker_that_is_away_costs_no_event_an_attempt,
    a_publisher_that_panics_or_hangs_costs_its_event_an_attempt,
);

/// A broker that refuses the event with number 1 until it is told otherwise.
fn refuses_one(mended: &Arc<AtomicBool>) -> Recorder {
    let mended = Arc::clone(mended);
    Recorder::that(move |event, _| {
        let refused = event.json::<usize>().unwrap() == 1 && !mended.load(Ordering::SeqCst);
        if refused { Err(PublishError::retryable("it is\0 ugly \u{1F980}")) } else { Ok(()) }
    })
}

async fn until_dead<DB: Db>(stage: &Stage<DB>, count: usize) {
    let dead = async {
        while stage.outbox.dead_letters(100).await.unwrap().len() != count {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    crate::stage::in_time(dead).await;
}

async fn event_is_a_dead_letter_after_its_attempts_and_can_be_redriven<DB: Db>(stage: Stage<DB>) {
    let mended = Arc::new(AtomicBool::new(false));
    let broker = refuses_one(&mended);
    let ids = stage.enqueue_many("orders", "42", 3).await;
    let relay = stage.outbox.relay(broker.clone()).max_attempts(3);
    let relay = Running::start(quick(relay));
    until_dead(&stage, 1).await;
    broker.until(2).await;
    assert_eq!(broker.numbers("42"), [0, 2], "the others go on");
    assert_eq!(broker.tries(ids[1]), 3);

    let letters = stage.outbox.dead_letters(10).await.unwrap();
    let letter = &letters[0];
    assert_eq!((letter.event.id, letter.attempts, letter.is_blocking), (ids[1], 3, false));
    assert_eq!(letter.error, "it is  ugly \u{1F980}");
    assert_eq!((letter.event.topic.as_str(), letter.event.key.as_str()), ("orders", "42"));
    assert!(letter.died_at >= letter.event.enqueued_at);
    assert!(stage.outbox.dead_letters(0).await.unwrap().is_empty());

    assert!(!stage.outbox.redrive(EventId::random()).await.unwrap());
    assert!(!stage.outbox.redrive(ids[0]).await.unwrap(), "it was published");
    // It still fails, with all its attempts again.
    assert!(stage.outbox.redrive(ids[1]).await.unwrap());
    wait::until_async("it is tried again", PATIENCE, || broker.tries(ids[1]) == 6).await;
    until_dead(&stage, 1).await;
    mended.store(true, Ordering::SeqCst);
    assert!(stage.outbox.redrive(ids[1]).await.unwrap());
    broker.until(3).await;
    relay.stop().await;
    assert_eq!(broker.numbers("42"), [0, 2, 1]);
    assert_eq!(broker.taken()[2].id, ids[1], "the id is that of the first delivery");
    assert_eq!(stage.rows().await, 0);
}

async fn later_events_wait_for_a_dead_one_where_that_was_asked_for<DB: Db>(stage: Stage<DB>) {
    let mended = Arc::new(AtomicBool::new(false));
    let broker = refuses_one(&mended);
    let ids = stage.enqueue_many("orders", "42", 3).await;
    let relay =
        stage.outbox.relay(broker.clone()).max_attempts(2).on_dead_letter(OnDeadLetter::Block);
    let relay = Running::start(quick(relay));
    until_dead(&stage, 1).await;
    // Others pass, so the relay has looked at everything meanwhile.
    stage.enqueue("orders", "other", 0).await;
    broker.until(2).await;
    assert_eq!(broker.numbers("42"), [0]);
    assert!(stage.outbox.dead_letters(1).await.unwrap()[0].is_blocking);
    mended.store(true, Ordering::SeqCst);
    assert!(stage.outbox.redrive(ids[1]).await.unwrap());
    broker.until(4).await;
    relay.stop().await;
    assert_eq!(broker.numbers("42"), [0, 1, 2]);
    assert_eq!(stage.rows().await, 0);
}

async fn a_dead_event_can_be_discarded<DB: Db>(stage: Stage<DB>) {
    let broker = refuses_one(&Arc::default());
    let ids = stage.enqueue_many("orders", "42", 3).await;
    let relay =
        stage.outbox.relay(broker.clone()).max_attempts(1).on_dead_letter(OnDeadLetter::Block);
    let relay = Running::start(quick(relay));
    until_dead(&stage, 1).await;
    assert!(!stage.outbox.discard(ids[2]).await.unwrap(), "it is alive");
    assert!(stage.outbox.discard(ids[1]).await.unwrap());
    assert!(!stage.outbox.discard(ids[1]).await.unwrap(), "it is gone");
    broker.until(2).await;
    relay.stop().await;
    assert_eq!(broker.numbers("42"), [0, 2]);
    assert_eq!(stage.rows().await, 0);
}

async fn permanent_failure_makes_a_dead_letter_at_once<DB: Db>(stage: Stage<DB>) {
    let broker = Recorder::that(|event, _| match event.json::<usize>().unwrap() {
        0 => Err(PublishError::permanent("no such topic")),
        _ => Ok(()),
    });
    let ids = stage.enqueue_many("orders", "42", 2).await;
    let relay = Running::start(quick(stage.outbox.relay(broker.clone())));
    broker.until(1).await;
    until_dead(&stage, 1).await;
    relay.stop().await;
    assert_eq!((broker.tries(ids[0]), broker.numbers("42")), (1, vec![1]));
    assert_eq!(stage.outbox.dead_letters(10).await.unwrap()[0].error, "no such topic");
}

async fn a_broker_that_is_away_costs_no_event_an_attempt<DB: Db>(stage: Stage<DB>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let broker = Recorder::that(move |_, _| {
        let away = counted.fetch_add(1, Ordering::SeqCst) < 30;
        if away { Err(PublishError::unavailable("connection refused")) } else { Ok(()) }
    });
    for key in ["a", "b", "c"] {
        stage.enqueue_many("orders", key, 5).await;
    }
    // One counted attempt would be one too many.
    let relay = stage.outbox.relay(broker.clone()).max_attempts(1);
    let relay = Running::start(quick(relay));
    broker.until(15).await;
    relay.stop().await;
    assert!(calls.load(Ordering::SeqCst) >= 45);
    for key in ["a", "b", "c"] {
        assert_eq!(broker.numbers(key), [0, 1, 2, 3, 4]);
    }
    assert!(stage.outbox.dead_letters(10).await.unwrap().is_empty());
}

/// Panics at number 0, never answers for number 1.
struct Broken(Recorder);

impl Publisher for Broken {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        match event.json::<usize>().unwrap() {
            0 => panic!("a mistake in the publisher"),
            1 => std::future::pending().await,
            _ => self.0.publish(event).await,
        }
    }
}

async fn a_publisher_that_panics_or_hangs_costs_its_event_an_attempt<DB: Db>(stage: Stage<DB>) {
    let broker = Recorder::new();
    let ids = stage.enqueue_many("orders", "42", 3).await;
    let relay = stage.outbox.relay(Broken(broker.clone())).max_attempts(2);
    let relay = quick(relay).publish_timeout(Duration::from_millis(300));
    let relay = Running::start(relay);
    broker.until(1).await;
    until_dead(&stage, 2).await;
    relay.stop().await;
    assert_eq!(broker.numbers("42"), [2]);
    let letters = stage.outbox.dead_letters(10).await.unwrap();
    let told: Vec<_> = letters.iter().map(|dead| (dead.event.id, dead.error.as_str())).collect();
    let expected =
        [(ids[0], "the publisher panicked"), (ids[1], "the broker did not answer in time")];
    assert_eq!(told, expected);
}
