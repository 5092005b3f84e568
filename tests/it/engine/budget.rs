//! A storage that does not answer: everything before the body has one budget, and after the body the caller is not kept either.

use std::time::{Duration, Instant};

use idem_runtime::storage::Storage;
use idem_runtime::testing::{FaultyStorage, Verb};
use idem_runtime::{Error, ErrorKind, Idempotency, Source};
use idempotency::idempotent;
use testkit::proxy::{FaultProxy, Loss};
use testkit::redis::RedisServer;
use tokio::task::JoinSet;

use crate::stage::{Gate, Stage, TTL, in_time, until};

on_every_server!(
    a_hung_server_is_reported_within_the_budget_and_the_body_does_not_run,
    a_server_that_hangs_while_a_duplicate_waits_costs_it_its_wait_and_the_budget,
    a_server_that_hangs_after_the_body_does_not_keep_the_caller,
);

const BUDGET: Duration = Duration::from_secs(1);

/// What a busy machine may add. Without a budget a call took a quarter of a minute.
const SLACK: Duration = Duration::from_secs(5);

/// A handle through `proxy`.
async fn through(stage: &Stage, proxy: &FaultProxy) -> Idempotency {
    on(stage, stage.storage_through(proxy).await)
}

fn on(stage: &Stage, storage: impl Storage) -> Idempotency {
    let builder = Idempotency::builder(storage);
    builder.namespace(&stage.namespace).ttl(TTL).claim_timeout(BUDGET).build().unwrap()
}

/// From now on the server hears nothing, and connections stay open.
fn hang(proxy: &FaultProxy) {
    proxy.drop_requests(Loss::next(usize::MAX).hanging());
}

fn recover(proxy: &FaultProxy) {
    proxy.heal();
    proxy.cut();
}

#[idempotent(key = "attribute:{key}", with = handle, skip(handle, stage), name = "charge")]
async fn annotated(handle: &Idempotency, stage: &Stage, key: &str) -> Result<String, Error> {
    stage.body(key, "").await
}

fn assert_unanswered(error: &Error) {
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    assert!(error.is_retryable(), "{error}");
    assert_eq!(error.operation(), Some("charge"));
    let text = error.to_string();
    assert!(text.contains("did not answer within 1s, the body did not run"), "{text}");
}

async fn a_hung_server_is_reported_within_the_budget_and_the_body_does_not_run(stage: Stage) {
    let proxy = stage.proxy().unwrap();
    let idem = through(&stage, &proxy).await;
    hang(&proxy);
    let begun = Instant::now();
    let mut calls = JoinSet::new();
    // The second of two equal keys joins the first.
    for (key, wait) in [("a", None), ("a", None), ("b", Some(Duration::from_secs(60)))] {
        let mut operation = idem.operation("charge").key(key);
        if let Some(wait) = wait {
            operation = operation.wait(wait);
        }
        calls.spawn(operation.run(stage.body(key, "")));
    }
    let (handle, there) = (idem.clone(), stage.clone());
    calls.spawn(async move { annotated(&handle, &there, "k").await });
    for ended in in_time(calls.join_all()).await {
        assert_unanswered(&ended.unwrap_err());
    }
    let open =
        idem.operation("charge").key("open").fail_open().run_with_outcome(stage.body("open", ""));
    assert_eq!(in_time(open).await.unwrap().source, Source::Unrecorded);
    let elapsed = begun.elapsed();
    assert!((BUDGET * 2..BUDGET * 2 + SLACK).contains(&elapsed), "{elapsed:?}");
    for key in ["a", "b", "k"] {
        assert_eq!(stage.ledger.executions(key), 0, "{key}");
    }
    recover(&proxy);
    until("what may have been claimed is released", || idem.in_flight() == 0).await;
    let outcome =
        in_time(idem.operation("charge").key("a").run_with_outcome(stage.body("a", ""))).await;
    assert_eq!(outcome.unwrap().source, Source::Executed { recovered: false });
}

async fn a_server_that_hangs_while_a_duplicate_waits_costs_it_its_wait_and_the_budget(
    stage: Stage,
) {
    let proxy = stage.proxy().unwrap();
    let storage = FaultyStorage::new(stage.storage_through(&proxy).await);
    let calls = storage.faults().clone();
    let idem = on(&stage, storage);
    let owner = stage.process().await;
    let running = owner.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    let wait = Duration::from_secs(5);
    let begun = Instant::now();
    let waiting =
        tokio::spawn(idem.operation("charge").key("k").wait(wait).run(stage.body("k", "")));
    until("the call has looked again", || calls.calls(Verb::Claim) > 1).await;
    hang(&proxy);
    assert!(!waiting.is_finished(), "the call waits");
    let error = in_time(waiting).await.unwrap().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    let elapsed = begun.elapsed();
    assert!(elapsed < wait + BUDGET + SLACK, "{elapsed:?}");
    recover(&proxy);
    assert_eq!(running.finish().await.unwrap().value, "first");
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn a_server_that_hangs_after_the_body_does_not_keep_the_caller(stage: Stage) {
    let proxy = stage.proxy().unwrap();
    let idem = through(&stage, &proxy).await;
    let (there, gate) = (stage.clone(), Gate::default());
    let (operation, inside) = (idem.operation("charge").key("k").lease(TTL), gate.clone());
    let call = tokio::spawn(async move {
        operation.run_with_outcome(there.gated("k", "first", &inside)).await
    });
    gate.begun().await;
    hang(&proxy);
    gate.open();
    let begun = Instant::now();
    let outcome = in_time(call).await.unwrap().unwrap();
    assert_eq!((outcome.value.as_str(), outcome.source), ("first", Source::Unrecorded));
    let elapsed = begun.elapsed();
    assert!(elapsed < Duration::from_secs(5) + SLACK, "{elapsed:?}");
    // The write has gone on without the caller.
    recover(&proxy);
    until("it is recorded", || idem.in_flight() == 0).await;
    let replay = stage
        .process()
        .await
        .charge("k")
        .run_with_outcome(stage.body("k", "second"))
        .await
        .unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
}

/// With the default settings on both sides: two seconds for a reply, three for all of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_stopped_holds_a_call_for_three_seconds() {
    let redis = RedisServer::start();
    let stage = Stage::at(redis.url());
    let process = stage.process().await;
    process.charge("warm").run(stage.body("warm", "")).await.unwrap();
    redis.pause();
    let begun = Instant::now();
    let error = in_time(process.charge("k").run(stage.body("k", ""))).await.unwrap_err();
    let elapsed = begun.elapsed();
    redis.resume();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    assert!(error.is_retryable(), "{error}");
    assert!(
        (Duration::from_secs(2)..Duration::from_secs(3) + SLACK).contains(&elapsed),
        "{elapsed:?}"
    );
    assert_eq!(stage.ledger.executions("k"), 0);
    // The server gets what it was sent, the release included.
    until("nothing is under way", || process.idem.in_flight() == 0).await;
    let again = in_time(process.charge("k").run_with_outcome(stage.body("k", ""))).await.unwrap();
    assert!(matches!(again.source, Source::Executed { .. }));
}

#[test]
fn a_budget_of_zero_is_refused() {
    let builder = Idempotency::builder(idem_runtime::storage::MemoryStorage::new());
    let error = builder.claim_timeout(Duration::ZERO).build().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("claim timeout"), "{error}");
}
