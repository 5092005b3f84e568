//! G11: a record that cannot be read is a typed error and stays as it is; the body does not run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{ErrorKind, Source};
use testkit::proxy::{FaultProxy, Loss};
use testkit::redis::{RedisServer, shared};

use crate::stage::{GRAIN, LEASE, PATIENCE, Stage, in_time, until};

on_every_backend!(
    unreadable_record_at_the_claim_is_corrupt_and_the_body_does_not_run,
    unreadable_record_at_the_end_gives_the_value_and_says_unrecorded,
);

async fn unreadable_record_at_the_claim_is_corrupt_and_the_body_does_not_run(stage: Stage) {
    let process = stage.process().await;
    for kind in [StorageErrorKind::Corrupt, StorageErrorKind::NewerVersion] {
        process.faults.next(Verb::Claim, Fault::Fail(kind));
        let call = process.charge("k").wait(PATIENCE).run(stage.body("k", ""));
        let error = in_time(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        assert!(!error.is_retryable());
    }
    assert_eq!(stage.ledger.executions("k"), 0);
    assert_eq!(process.faults.calls(Verb::Claim), 2);
    assert_eq!(process.faults.calls(Verb::Release), 0);
    assert_eq!(process.idem.in_flight(), 0);
}

async fn unreadable_record_at_the_end_gives_the_value_and_says_unrecorded(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Complete, Fault::Fail(StorageErrorKind::Corrupt));
    let outcome =
        in_time(process.charge("k").run_with_outcome(stage.body("k", "first"))).await.unwrap();
    assert_eq!((outcome.value.as_str(), outcome.source), ("first", Source::Unrecorded));
    assert_eq!(process.heard.unrecorded(), 1);
    until("nothing is under way", || process.idem.in_flight() == 0).await;
    assert_eq!(process.faults.calls(Verb::Complete), 1);
}

/// The name of a key in the server, whatever the storage puts before it.
fn redis_key(stage: &Stage, key: &str) -> String {
    let record = stage.record_key(key);
    let found = shared().command(&["KEYS", &format!("*{}", record.as_str())]);
    assert!(!found.is_empty() && !found.contains('\n'), "{found:?}");
    found
}

/// What the server holds, in a form in which every byte shows.
fn dump(name: &str) -> String {
    let script =
        "return redis.sha1hex(redis.call('GET', KEYS[1])) .. redis.call('PEXPIRETIME', KEYS[1])";
    shared().command(&["EVAL", script, "1", name])
}

/// Runs a script that does `harm` to the bytes of a finished record and sees that nobody touches it afterwards.
async fn assert_fails_closed(harm: &str) {
    let stage = Stage::on_redis();
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    let name = redis_key(&stage, "k");
    let script = format!(
        "local s = redis.call('GET', KEYS[1]) \
         redis.call('SET', KEYS[1], {harm}, 'KEEPTTL') return 'harmed'"
    );
    assert_eq!(shared().command(&["EVAL", &script, "1", &name]), "harmed");
    let before = dump(&name);
    for process in [process, stage.process().await] {
        let call = process.charge("k").wait(PATIENCE).fail_open().run(stage.body("k", "again"));
        let error = in_time(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{harm}");
        assert_eq!(process.idem.in_flight(), 0);
    }
    assert_eq!(stage.ledger.executions("k"), 1, "{harm}");
    assert_eq!(dump(&name), before, "{harm}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damaged_bytes_in_redis_are_corrupt_and_stay() {
    for harm in [
        "''",
        "'x'",
        "'not a record at all, but a text that is about as long as one would be, written by somebody else'",
        "string.sub(s, 1, 20)",
        "string.sub(s, 1, 67)",
        "string.sub(s, 1, 17) .. '?' .. string.sub(s, 19)",
    ] {
        assert_fails_closed(harm).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn record_of_a_newer_version_in_redis_is_corrupt_and_stays() {
    assert_fails_closed("string.char(string.byte(s) + 1) .. string.sub(s, 2)").await;
    assert_fails_closed("string.char(255) .. string.sub(s, 2)").await;
}

/// A dead owner's record that a newer version wrote: its lease is no reason to take it over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processing_record_of_a_newer_version_in_redis_is_never_taken_over() {
    let stage = Stage::on_redis();
    let lease = std::time::Duration::from_millis(50);
    stage.dead_owner("k", lease, CrashPolicy::Retry).await;
    let name = redis_key(&stage, "k");
    let script = "local s = redis.call('GET', KEYS[1]) \
         redis.call('SET', KEYS[1], string.char(string.byte(s) + 1) .. string.sub(s, 2), 'KEEPTTL')";
    shared().command(&["EVAL", script, "1", &name]);
    tokio::time::sleep(lease * 3).await;
    let before = dump(&name);
    let process = stage.process().await;
    let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "again"));
    assert_eq!(in_time(call).await.unwrap_err().kind(), ErrorKind::Corrupt);
    assert_eq!(stage.ledger.executions("k"), 0);
    assert_eq!(dump(&name), before);
}

/// What the claim's first command saw is not what its script finds: that one looks for itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processing_record_that_is_damaged_under_a_claims_hands_is_never_taken_over() {
    for harm in ["string.char(string.byte(s) + 1) .. string.sub(s, 2)", "string.sub(s, 1, 75)"] {
        let redis = Arc::new(RedisServer::start());
        let proxy = FaultProxy::start(("127.0.0.1", redis.port()));
        let stage = Stage::at(proxy.url());
        stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
        tokio::time::sleep(LEASE + GRAIN).await;
        let (process, harmed) = (stage.process().await, Arc::new(AtomicBool::new(false)));
        let (server, harming) = (Arc::clone(&redis), Arc::clone(&harmed));
        // Nothing is lost; it is the moment that matters.
        proxy.drop_requests(Loss::next(1).of_requests(move |request| {
            let is_script = request.windows(7).any(|word| word == b"EVALSHA");
            if is_script && !harming.swap(true, Ordering::SeqCst) {
                let script = format!(
                    "local s = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], {harm}, 'KEEPTTL')"
                );
                server.command(&["EVAL", &script, "1", &server.command(&["KEYS", "*"])]);
            }
            false
        }));
        let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "again"));
        assert_eq!(in_time(call).await.unwrap_err().kind(), ErrorKind::Corrupt, "{harm}");
        assert!(harmed.load(Ordering::SeqCst));
        assert_eq!(stage.ledger.executions("k"), 0, "{harm}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn key_of_another_type_in_redis_is_corrupt_and_stays() {
    let stage = Stage::on_redis();
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    let name = redis_key(&stage, "k");
    shared().command(&["DEL", &name]);
    shared().command(&["RPUSH", &name, "somebody", "else's"]);
    let error = in_time(process.charge("k").run(stage.body("k", "again"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
    assert_eq!(stage.ledger.executions("k"), 1);
    assert_eq!(shared().command(&["LRANGE", &name, "0", "-1"]), "somebody\nelse's");
    shared().command(&["DEL", &name]);
}
