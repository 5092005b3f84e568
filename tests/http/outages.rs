//! Storages that fail, and what is stored that cannot be read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::post;
use idempotency::Idempotency;
use idempotency::http::{IdempotencyKey, IdempotencyLayer, IdempotentRun, anonymous};
use idempotency::storage::{MemoryStorage, RedisStorage, StorageErrorKind};
use idempotency::testing::{Fault, FaultyStorage, Verb};

use testkit::redis::RedisServer;

use crate::client::Client;
use crate::service::{Counting, serve};
use crate::stage::Stage;

/// The effect has happened: whatever becomes of the record, its client is told so, and somebody is told that there is none.
#[tokio::test]
async fn a_response_that_cannot_be_recorded_reaches_its_client() {
    let storage = FaultyStorage::new(MemoryStorage::new());
    let faults = storage.faults().clone();
    let unrecorded = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&unrecorded);
    let builder = Idempotency::builder(storage).on_unrecorded(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
    });
    let idem = builder.build().unwrap();
    let service = Counting::behind(IdempotencyLayer::new(idem, anonymous())).await;
    faults.always(Verb::Complete, Fault::Refuse);
    let reply = service.client.post("/a", "k", "x").await;
    assert_eq!((reply.status.as_u16(), reply.text()), (200, "run 1 of x"));
    assert_eq!(unrecorded.load(Ordering::SeqCst), 1);
    let again = service.client.post("/a", "k", "x").await;
    assert!(again.is_replayed(), "this process still knows it: {again:?}");
    assert_eq!(service.runs(), 1);
}

#[tokio::test]
async fn what_is_stored_and_cannot_be_read_is_no_licence_to_run_again() {
    for (kind, status, code) in [
        (StorageErrorKind::Corrupt, 500, "record-unreadable"),
        (StorageErrorKind::NewerVersion, 500, "record-unreadable"),
        (StorageErrorKind::Configuration, 500, "misconfigured"),
        (StorageErrorKind::Full, 503, "storage-unavailable"),
    ] {
        let (idem, faults) = Stage::on_memory().process();
        let service = Counting::behind(IdempotencyLayer::new(idem, anonymous())).await;
        faults.always(Verb::Claim, Fault::Fail(kind));
        service.client.post("/a", "k", "x").await.assert_problem(status, code);
        assert_eq!(service.runs(), 0, "{kind:?}");
    }
}

#[tokio::test]
async fn failing_open_is_for_storages_that_are_down_alone() {
    let (idem, faults) = Stage::on_memory().process();
    let service = Counting::behind(IdempotencyLayer::new(idem, anonymous()).fail_open()).await;
    faults.always(Verb::Claim, Fault::Fail(StorageErrorKind::Corrupt));
    service.client.post("/a", "k", "x").await.assert_problem(500, "record-unreadable");
    assert_eq!(service.runs(), 0);
}

/// It is not the client's fault that there is no run.
#[tokio::test]
async fn a_handler_that_needs_a_run_is_not_content_with_a_storage_that_is_down() {
    let (idem, faults) = Stage::on_memory().process();
    let layer = IdempotencyLayer::new(idem, anonymous()).fail_open();
    let router = Router::new()
        .route("/run", post(async |_: IdempotentRun| "in a run"))
        .route("/key", post(async |key: IdempotencyKey| key.as_str().to_owned()));
    let client = Client::new(serve(router.layer(layer)).await);
    faults.always(Verb::Claim, Fault::Refuse);
    client.post("/run", "k1", "x").await.assert_problem(503, "storage-unavailable");
    assert_eq!(client.post("/key", "k2", "x").await.text(), "k2");
}

/// It held each request for a quarter of a minute. The client gets its answer while it still waits, and may try again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_stopped_holds_a_request_for_three_seconds() {
    let redis = RedisServer::start();
    let idem = Idempotency::new(RedisStorage::connect(redis.url()).await.unwrap()).unwrap();
    let service = Counting::behind(IdempotencyLayer::new(idem, anonymous())).await;
    assert_eq!(service.client.post("/a", "before", "x").await.status.as_u16(), 200);
    redis.pause();
    let begun = Instant::now();
    let reply = service.client.post("/a", "k", "x").await;
    let elapsed = begun.elapsed();
    redis.resume();
    reply.assert_problem(503, "storage-unavailable");
    assert!(elapsed < Duration::from_secs(8), "{elapsed:?}");
    assert_eq!(service.runs(), 1);
}
