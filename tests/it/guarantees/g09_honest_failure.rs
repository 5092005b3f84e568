//! G9: storage down before the body: it does not run. Storage down after it: the caller gets the value, and the loss is not hidden.

use std::sync::{Arc, Mutex};

use idem_runtime::record::Status;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{ErrorKind, Source};
use testkit::proxy::FaultProxy;
use testkit::redis::RedisServer;
use tokio::task::JoinSet;

use crate::stage::{PATIENCE, Stage, TTL, in_time, until};

on_every_backend!(
    storage_down_before_the_body_is_an_error_and_the_body_does_not_run,
    storage_down_before_the_body_runs_it_only_where_the_operation_fails_open,
    fail_open_does_not_open_for_anything_but_a_storage_that_is_down,
    storage_down_after_the_body_gives_the_value_and_says_unrecorded,
    unrecorded_result_is_recorded_when_the_storage_is_back_within_the_lease,
    unrecorded_error_of_the_body_is_the_bodys_error,
    result_that_a_full_storage_refuses_is_recorded_when_there_is_room_again,
    duplicates_of_an_unrecorded_result_in_this_process_get_it_while_it_is_being_written,
);

async fn storage_down_before_the_body_is_an_error_and_the_body_does_not_run(stage: Stage) {
    let outages = [
        (Fault::Refuse, true),
        (Fault::LoseRequest, true),
        (Fault::Fail(StorageErrorKind::Full), false),
    ];
    // Side by side, since each gives up after a second.
    let mut calls = JoinSet::new();
    for (fault, retryable) in outages {
        let stage = stage.clone();
        calls.spawn(async move {
            let process = stage.process().await;
            process.faults.always(Verb::Claim, fault);
            let error = in_time(process.charge("k").run(stage.body("k", ""))).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Storage);
            assert_eq!(error.is_retryable(), retryable, "{fault:?}");
            assert_eq!(error.operation(), Some("charge"));
            assert!(error.storage_error().is_some());
            until("nothing is under way", || process.idem.in_flight() == 0).await;
        });
    }
    calls.join_all().await;
    assert_eq!(stage.ledger.executions("k"), 0);
    let outcome =
        stage.process().await.charge("k").run_with_outcome(stage.body("k", "first")).await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
}

async fn storage_down_before_the_body_runs_it_only_where_the_operation_fails_open(stage: Stage) {
    let process = stage.process().await;
    process.faults.always(Verb::Claim, Fault::Refuse);
    let call = process.charge("k").fail_open().run_with_outcome(stage.body("k", "unprotected"));
    let outcome = in_time(call).await.unwrap();
    assert_eq!((outcome.value.as_str(), outcome.source), ("unprotected", Source::Unrecorded));
    assert_eq!(process.heard.unrecorded(), 1);
    assert_eq!(stage.record("k").await, None);
}

async fn fail_open_does_not_open_for_anything_but_a_storage_that_is_down(stage: Stage) {
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    let other = process.charge("k").fingerprint(&1).fail_open();
    let error = other.run(stage.body("k", "other")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    for kind in [StorageErrorKind::Corrupt, StorageErrorKind::NewerVersion] {
        process.faults.next(Verb::Claim, Fault::Fail(kind));
        let call = process.charge("k").fail_open().run(stage.body("k", "other"));
        assert_eq!(call.await.unwrap_err().kind(), ErrorKind::Corrupt);
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn storage_down_after_the_body_gives_the_value_and_says_unrecorded(stage: Stage) {
    let reasons = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&reasons);
    let process = stage
        .process_with(|builder| {
            builder.on_unrecorded(move |event| {
                told.lock().unwrap().push((
                    event.operation.to_owned(),
                    event.key.to_owned(),
                    event.reason.map(idem_runtime::Error::kind),
                ));
            })
        })
        .await;
    process.faults.always(Verb::Complete, Fault::Refuse);
    let call = process.charge("k").run_with_outcome(stage.body("k", "first"));
    let outcome = in_time(call).await.unwrap();
    assert_eq!((outcome.value.as_str(), outcome.source), ("first", Source::Unrecorded));
    let expected = ("charge".to_owned(), "k".to_owned(), Some(ErrorKind::Storage));
    assert_eq!(*reasons.lock().unwrap(), [expected]);
    until("the writing is given up", || process.idem.in_flight() == 0).await;
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Processing);
}

async fn unrecorded_result_is_recorded_when_the_storage_is_back_within_the_lease(stage: Stage) {
    let process = stage.process().await;
    process.faults.always(Verb::Complete, Fault::Refuse);
    let call = process.charge("k").lease(TTL).run_with_outcome(stage.body("k", "first"));
    assert_eq!(in_time(call).await.unwrap().source, Source::Unrecorded);
    process.faults.clear();
    until("it is recorded", || process.idem.in_flight() == 0).await;
    let other = stage.process().await;
    let replay = other.charge("k").run_with_outcome(stage.body("k", "other")).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn unrecorded_error_of_the_body_is_the_bodys_error(stage: Stage) {
    let process = stage.process().await;
    process.faults.always(Verb::Complete, Fault::Refuse);
    let declined =
        async { Err::<(), _>(idem_runtime::Error::new(ErrorKind::TooLarge, "declined")) };
    let error = in_time(process.charge("k").run(declined)).await.unwrap_err();
    assert_eq!(error.to_string(), "declined");
    assert_eq!(process.heard.unrecorded(), 1);
}

async fn result_that_a_full_storage_refuses_is_recorded_when_there_is_room_again(stage: Stage) {
    let process = stage.process().await;
    process.faults.always(Verb::Complete, Fault::Fail(StorageErrorKind::Full));
    let call = process.charge("k").lease(TTL).run_with_outcome(stage.body("k", "first"));
    assert_eq!(in_time(call).await.unwrap().source, Source::Unrecorded);
    process.faults.clear();
    until("it is recorded", || process.idem.in_flight() == 0).await;
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Completed);
}

async fn duplicates_of_an_unrecorded_result_in_this_process_get_it_while_it_is_being_written(
    stage: Stage,
) {
    let process = stage.process().await;
    process.faults.always(Verb::Complete, Fault::Refuse);
    let call = process.charge("k").lease(TTL).run_with_outcome(stage.body("k", "first"));
    assert_eq!(in_time(call).await.unwrap().source, Source::Unrecorded);
    let replay =
        process.charge("k").lease(TTL).run_with_outcome(stage.body("k", "other")).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
    process.faults.clear();
    until("it is recorded", || process.idem.in_flight() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_went_away_before_the_body_is_an_error_and_the_body_does_not_run() {
    let mut redis = RedisServer::start();
    let stage = Stage::at(redis.url());
    let process = stage.process().await;
    redis.kill();
    let error = in_time(process.charge("k").run(stage.body("k", ""))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.is_retryable());
    assert_eq!(stage.ledger.executions("k"), 0);
    redis.start_again();
    // The claim may have been applied, so it is being released; until that is done the error is what everybody here gets.
    until("nothing is under way", || process.idem.in_flight() == 0).await;
    let again = in_time(process.charge("k").run(stage.body("k", "first")));
    assert_eq!(again.await.unwrap(), "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_restarts_empty_while_the_body_runs_gets_no_record_of_it() {
    let mut redis = RedisServer::start();
    let stage = Stage::at(redis.url());
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    redis.kill();
    redis.start_again();
    let outcome = running.finish().await.unwrap();
    assert_eq!((outcome.value.as_str(), outcome.source), ("first", Source::Unrecorded));
    assert_eq!(process.heard.unrecorded(), 1);
    assert_eq!(redis.command(&["DBSIZE"]), "0");
    until("nothing is under way", || process.idem.in_flight() == 0).await;
}

/// Leaves no room for another byte.
fn fill(redis: &RedisServer) {
    redis.command(&["CONFIG", "SET", "maxmemory-policy", "noeviction", "maxmemory", "1"]);
}

fn make_room(redis: &RedisServer) {
    redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_out_of_memory_at_the_claim_is_an_error_and_the_body_does_not_run() {
    let redis = RedisServer::start();
    let stage = Stage::at(redis.url());
    let process = stage.process().await;
    fill(&redis);
    let error = in_time(process.charge("k").run(stage.body("k", ""))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(error.to_string().contains("memory"), "{error}");
    assert_eq!(stage.ledger.executions("k"), 0);
    make_room(&redis);
    let again = in_time(process.charge("k").run(stage.body("k", "first")));
    assert_eq!(again.await.unwrap(), "first");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_out_of_memory_at_the_end_is_recorded_when_it_has_room_again() {
    let redis = RedisServer::start();
    let stage = Stage::at(redis.url());
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    fill(&redis);
    let outcome = running.finish().await.unwrap();
    assert_eq!((outcome.value.as_str(), outcome.source), ("first", Source::Unrecorded));
    assert_eq!(process.heard.unrecorded(), 1);
    make_room(&redis);
    until("it is recorded", || process.idem.in_flight() == 0).await;
    let other = stage.process().await;
    let replay = other.charge("k").run_with_outcome(stage.body("k", "other")).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
}

/// Heartbeats fail while the server is away; the owner is still the owner when it is back with its data.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_is_unreachable_for_a_while_costs_nothing_but_time() {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(("127.0.0.1", redis.port()));
    let stage = Stage::at(proxy.url());
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", |op| op).await;
    proxy.refuse();
    proxy.cut();
    let before = process.faults.calls(Verb::Renew);
    let failed = || process.faults.calls(Verb::Renew) > before + 2;
    until("heartbeats have failed", failed).await;
    proxy.accept();
    let outcome = running.finish().await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
    let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "other"));
    assert_eq!(in_time(call).await.unwrap(), "first");
}
