//! The end of a relay: in order, and not.

use std::time::Duration;

use super::recorder::{Gated, Recorder};
use super::stage::{Db, Running, Stage, on_every_database, quick};
use crate::stage::{Gate, LEASE, in_time};

on_every_database!(
    a_relay_that_is_stopped_finishes_what_it_began_and_leaves_nothing_locked,
    what_a_dead_relay_had_comes_again_after_its_lease,
    a_relay_that_never_ran_leaves_nothing_behind,
);

async fn a_relay_that_is_stopped_finishes_what_it_began_and_leaves_nothing_locked<DB: Db>(
    stage: Stage<DB>,
) {
    let (broker, gate) = (Recorder::new(), Gate::default());
    let ids = stage.enqueue_many("orders", "held", 5).await;
    let gated = Gated { broker: broker.clone(), key: "held", gate: gate.clone() };
    // Longer than the test: what is free afterwards was released.
    let relay = stage.outbox.relay(gated).lease(Duration::from_secs(3600));
    let relay = Running::start(quick(relay));
    gate.begun().await;
    assert_eq!(stage.free().await, 0, "all five are leased");

    relay.stop.cancel();
    stage.enqueue("orders", "new", 0).await;
    let mut ended = relay.task;
    let early = tokio::time::timeout(Duration::from_millis(50), &mut ended).await;
    assert!(early.is_err(), "it did not wait for what was being published");
    gate.open();
    in_time(ended).await.unwrap().unwrap();

    let taken: Vec<_> = broker.taken().iter().map(|event| event.id).collect();
    assert_eq!(taken, ids[..1], "what had begun was finished, and nothing else was begun");
    assert_eq!((stage.rows().await, stage.free().await), (5, 5));
}

async fn what_a_dead_relay_had_comes_again_after_its_lease<DB: Db>(stage: Stage<DB>) {
    let (broker, gate) = (Recorder::new(), Gate::default());
    let ids = stage.enqueue_many("orders", "held", 3).await;
    let gated = Gated { broker: broker.clone(), key: "held", gate: gate.clone() };
    let relay = stage.outbox.relay(gated).lease(LEASE);
    let relay = Running::start(quick(relay));
    gate.begun().await;
    let leased_at = stage.now().await;
    // It lives, so its lease is kept up.
    tokio::time::sleep(LEASE * 2).await;
    let until = stage.number("SELECT min(available_at) FROM idempotency_outbox").await;
    assert!(u64::try_from(until).unwrap() > leased_at + 300, "the lease was not extended");
    relay.kill().await;

    let second = Running::start(quick(stage.outbox.relay(broker.clone())));
    broker.until(3).await;
    second.stop().await;
    let taken: Vec<_> = broker.taken().iter().map(|event| event.id).collect();
    assert_eq!(taken, ids);
}

async fn a_relay_that_never_ran_leaves_nothing_behind<DB: Db>(stage: Stage<DB>) {
    stage.enqueue("orders", "42", 0).await;
    let broker = Recorder::new();
    let relay = Running::start(quick(stage.outbox.relay(broker.clone())));
    relay.stop().await;
    let left = stage.rows().await;
    assert_eq!(left, stage.free().await);
    assert_eq!(usize::try_from(left).unwrap() + broker.taken().len(), 1);
}
