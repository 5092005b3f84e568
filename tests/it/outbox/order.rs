//! Order: events of a key one after the other, those of different keys at the same time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use idempotency::outbox::PublishError;

use super::recorder::{Gated, Recorder};
use super::stage::{Db, Running, Stage, inside, on_every_database, quick};
use crate::stage::{Gate, LEASE};

on_every_database!(
    order_holds_through_four_relays_failures_and_deaths,
    relays_side_by_side_share_the_work,
    keys_do_not_wait_for_each_other,
    a_failure_stops_its_key_and_no_other,
    what_waits_hides_nothing_behind_it,
);

const KEYS: usize = 6;
const EVENTS: usize = 40;

/// Whatever happens: no event comes for the first time before those of its key that were enqueued earlier.
async fn order_holds_through_four_relays_failures_and_deaths<DB: Db>(stage: Stage<DB>) {
    // Every third event fails at first, and every ninth a second time.
    let broker = Recorder::that(|event, tried| {
        let number: usize = event.json().unwrap();
        let failures =
            usize::from(number.is_multiple_of(3)) + usize::from(number.is_multiple_of(9));
        if tried < failures { Err(PublishError::retryable("not now")) } else { Ok(()) }
    });
    let start = async || {
        let relay = stage.elsewhere().await.relay(broker.clone()).lease(LEASE).batch(16);
        Running::start(quick(relay))
    };
    let mut relays = Vec::new();
    for _ in 0..4 {
        relays.push(start().await);
    }
    for number in 0..EVENTS {
        let mut tx = stage.pool.begin().await.unwrap();
        for key in 0..KEYS {
            let key = format!("key-{key}");
            stage.outbox.enqueue(inside(&mut tx), "orders", &key, &number).await.unwrap();
        }
        tx.commit().await.unwrap();
        if number % 5 == 4 {
            relays.remove(0).kill().await;
            relays.push(start().await);
        }
    }
    stage.until_rows(0).await;
    for relay in relays {
        relay.stop().await;
    }
    for key in 0..KEYS {
        let mut seen = BTreeSet::new();
        let mut numbers = broker.numbers(&format!("key-{key}"));
        numbers.retain(|number| seen.insert(*number));
        assert_eq!(numbers, (0..EVENTS).collect::<Vec<_>>(), "first deliveries of key {key}");
    }
    assert!(stage.outbox.dead_letters(10).await.unwrap().is_empty());
}

async fn relays_side_by_side_share_the_work<DB: Db>(stage: Stage<DB>) {
    let brokers: Vec<_> = (0..4).map(|_| Recorder::new()).collect();
    let keys: Vec<_> = (0..200).map(|key| format!("key-{key}")).collect();
    for key in &keys {
        stage.enqueue_many("orders", key, 3).await;
    }
    let mut relays = Vec::new();
    for broker in &brokers {
        let relay = stage.elsewhere().await.relay(broker.clone()).batch(8);
        relays.push(Running::start(quick(relay)));
    }
    stage.until_rows(0).await;
    for relay in relays {
        relay.stop().await;
    }
    let taken: Vec<_> = brokers.iter().flat_map(Recorder::taken).collect();
    let mut deliveries = BTreeMap::<_, usize>::new();
    for event in &taken {
        *deliveries.entry(event.id).or_default() += 1;
    }
    assert_eq!(deliveries.len(), 600);
    let again: Vec<_> = deliveries.values().filter(|count| **count > 1).collect();
    assert!(again.is_empty(), "nothing failed, and yet {} came again", again.len());
}

async fn keys_do_not_wait_for_each_other<DB: Db>(stage: Stage<DB>) {
    let (broker, gate) = (Recorder::new(), Gate::default());
    stage.enqueue("orders", "held", 0).await;
    stage.enqueue("orders", "held", 1).await;
    let gated = Gated { broker: broker.clone(), key: "held", gate: gate.clone() };
    let relay = Running::start(quick(stage.outbox.relay(gated)));
    gate.begun().await;
    // The same key of another topic is another key.
    stage.enqueue("parcels", "other", 0).await;
    broker.until(1).await;
    assert!(broker.numbers("held").is_empty());
    gate.open();
    broker.until(3).await;
    relay.stop().await;
    assert_eq!(broker.numbers("held"), [0, 1]);
}

async fn a_failure_stops_its_key_and_no_other<DB: Db>(stage: Stage<DB>) {
    let broker = Recorder::that(|event, _| {
        let fails = event.key == "bad" && event.json::<usize>().unwrap() == 1;
        if fails { Err(PublishError::retryable("not now")) } else { Ok(()) }
    });
    stage.enqueue_many("orders", "bad", 4).await;
    let hour = Duration::from_secs(3600);
    let relay = stage.outbox.relay(broker.clone()).poll(Duration::from_millis(20));
    let relay = Running::start(relay.backoff(hour, hour));
    stage.until_rows(3).await;
    stage.enqueue_many("orders", "good", 4).await;
    broker.until(5).await;
    relay.stop().await;
    assert_eq!((broker.numbers("bad"), broker.numbers("good")), (vec![0], vec![0, 1, 2, 3]));
    assert_eq!(stage.rows().await, 3);
}

async fn what_waits_hides_nothing_behind_it<DB: Db>(stage: Stage<DB>) {
    let broker = Recorder::that(|event, _| {
        if event.topic == "bad" { Err(PublishError::retryable("not now")) } else { Ok(()) }
    });
    let mut tx = stage.pool.begin().await.unwrap();
    for key in 0..200 {
        for number in 0..3 {
            let key = format!("key-{key}");
            stage.outbox.enqueue(inside(&mut tx), "bad", &key, &number).await.unwrap();
        }
    }
    tx.commit().await.unwrap();
    let hour = Duration::from_secs(3600);
    let relay = stage.outbox.relay(broker.clone()).poll(Duration::from_millis(20));
    let relay = Running::start(relay.batch(32).backoff(hour, hour));
    for key in 0..20 {
        stage.enqueue("good", &format!("key-{key}"), 0).await;
    }
    broker.until(20).await;
    relay.stop().await;
    assert_eq!(stage.rows().await, 600);
}
