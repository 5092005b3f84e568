//! G10: claim and complete are idempotent for the same owner, so a lost reply is retried, not guessed.

use idem_runtime::Source;
use idem_runtime::record::Status;
use idem_runtime::testing::{Fault, Verb};
use testkit::proxy::{FaultProxy, Loss};
use testkit::redis::RedisServer;

use crate::stage::{Process, Stage, TTL, in_time, until};

on_every_backend!(
    lost_reply_to_a_claim_runs_the_body_once,
    lost_request_of_a_claim_runs_the_body_once,
    lost_reply_to_complete_is_recorded_once,
    lost_request_of_complete_is_recorded_once,
    lost_reply_to_a_release_frees_the_key,
    claim_whose_every_reply_is_lost_leaves_no_lock,
);

/// One call comes through, runs once, and everybody else gets its result; nothing stays locked or in flight.
async fn assert_unharmed(stage: &Stage, process: &Process, key: &str) {
    assert_unharmed_from(stage, process, key, 1).await;
}

async fn assert_unharmed_from(stage: &Stage, process: &Process, key: &str, fence: u64) {
    let call = process.charge(key).lease(TTL).run_with_outcome(stage.body(key, "first"));
    let outcome = in_time(call).await.unwrap();
    assert_eq!(outcome.value, "first");
    assert_eq!(outcome.source, Source::Executed { recovered: false });
    assert_eq!(process.heard.unrecorded(), 0);
    assert_eq!(process.idem.in_flight(), 0);
    let replay = process.charge(key).run_with_outcome(stage.body(key, "other")).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
    assert_eq!(stage.ledger.executions(key), 1);
    let record = stage.record(key).await.unwrap();
    assert_eq!((record.status(), record.fence.get()), (Status::Completed, fence));
}

async fn lost_reply_to_a_claim_runs_the_body_once(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Claim, Fault::LoseReply);
    assert_unharmed(&stage, &process, "k").await;
}

async fn lost_request_of_a_claim_runs_the_body_once(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Claim, Fault::LoseRequest);
    assert_unharmed(&stage, &process, "k").await;
}

async fn lost_reply_to_complete_is_recorded_once(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Complete, Fault::LoseReply);
    assert_unharmed(&stage, &process, "k").await;
}

async fn lost_request_of_complete_is_recorded_once(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Complete, Fault::LoseRequest);
    assert_unharmed(&stage, &process, "k").await;
}

async fn lost_reply_to_a_release_frees_the_key(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Release, Fault::LoseReply);
    let call = process.charge("k").lease(TTL).store_if(|_: &String| false);
    let outcome = in_time(call.run_with_outcome(stage.body("k", "first"))).await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
    assert_eq!(stage.status("k").await, Some(Status::Released));
    assert_eq!(process.idem.in_flight(), 0);
}

async fn claim_whose_every_reply_is_lost_leaves_no_lock(stage: Stage) {
    let process = stage.process().await;
    process.faults.always(Verb::Claim, Fault::LoseReply);
    let call = process.charge("k").lease(TTL).run_with_outcome(stage.body("k", "lost"));
    in_time(call).await.unwrap_err();
    until("the release is written", || process.idem.in_flight() == 0).await;
    assert_eq!(stage.status("k").await, Some(Status::Released));
    assert_eq!(stage.ledger.executions("k"), 0);
    process.faults.clear();
    assert_unharmed_from(&stage, &process, "k", 2).await;
}

/// The same on the wire: the connection breaks instead of an answer.
async fn through_a_proxy(lose: impl Fn(&FaultProxy)) {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(("127.0.0.1", redis.port()));
    let stage = Stage::at(proxy.url());
    let process = stage.process().await;
    // Scripts are known to the server, so that the next command is the one that is lost.
    process.charge("warm").run(stage.body("warm", "")).await.unwrap();
    lose(&proxy);
    assert_unharmed(&stage, &process, "k").await;
    let counts = proxy.counts();
    assert_eq!(counts.dropped_requests + counts.dropped_replies, 1, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_reply_to_a_claim_on_the_wire_runs_the_body_once() {
    through_a_proxy(|proxy| proxy.drop_replies(Loss::next(1).of_requests_with("NX"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_request_of_a_claim_on_the_wire_runs_the_body_once() {
    through_a_proxy(|proxy| proxy.drop_requests(Loss::next(1).of_requests_with("NX"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_reply_to_complete_on_the_wire_is_recorded_once() {
    through_a_proxy(|proxy| proxy.drop_replies(Loss::next(1).of_requests_with("EVALSHA"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_request_of_complete_on_the_wire_is_recorded_once() {
    through_a_proxy(|proxy| proxy.drop_requests(Loss::next(1).of_requests_with("EVALSHA"))).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reply_to_a_claim_that_never_comes_runs_the_body_once() {
    let hanging = || Loss::next(1).of_requests_with("NX").hanging();
    through_a_proxy(|proxy| proxy.drop_replies(hanging())).await;
}
