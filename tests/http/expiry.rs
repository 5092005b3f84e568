//! How long keys are kept.

use std::time::Duration;

use idempotency::Idempotency;
use idempotency::http::{IdempotencyLayer, anonymous};
use idempotency::storage::MemoryStorage;
use idempotency::testing::ManualClock;

use crate::service::Counting;
use crate::stage::{PATIENCE, Stage};

const DESCRIPTION: &str = include_str!("../../examples/payments/openapi.yaml");

on_every_storage! {
    a_key_is_a_new_one_after_its_time,
}

async fn a_key_is_a_new_one_after_its_time(stage: Stage) {
    // A record is kept for a lease at least.
    let second = Duration::from_secs(1);
    let kept = |ttl| IdempotencyLayer::new(stage.idem(), anonymous()).ttl(ttl).lease(second);
    let long = Counting::behind(kept(Duration::from_secs(3600))).await;
    long.client.post("/a", "long", "x").await;
    let short = Counting::behind(kept(second)).await;
    assert_eq!(short.client.post("/a", "short", "x").await.text(), "run 1 of x");
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while short.client.post("/a", "short", "x").await.is_replayed() {
        assert!(tokio::time::Instant::now() < deadline, "the key stays");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(short.runs(), 2);
    assert!(long.client.post("/a", "long", "x").await.is_replayed());
}

/// The example says nothing of a time to the layer, so that it is the default.
#[tokio::test]
async fn the_example_says_how_long_it_keeps_keys() {
    assert!(DESCRIPTION.contains("It is kept for 24 hours after the\n"));
    let clock = ManualClock::new();
    let storage = MemoryStorage::with_clock(clock.clone());
    let idem = Idempotency::builder(storage).build().unwrap();
    let service = Counting::behind(IdempotencyLayer::new(idem, anonymous())).await;
    service.client.post("/a", "k", "x").await;
    let minute = Duration::from_secs(60);
    clock.advance(minute * (24 * 60 - 1));
    assert!(service.client.post("/a", "k", "x").await.is_replayed());
    clock.advance(minute * 2);
    assert_eq!(service.client.post("/a", "k", "x").await.text(), "run 2 of x");
}
