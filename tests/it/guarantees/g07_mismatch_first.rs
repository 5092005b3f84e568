//! G7: the fingerprint is checked in every state, on every path, before anything else.

use idem_runtime::record::CrashPolicy;
use idem_runtime::{Error, ErrorKind, Operation};
use tokio::time::sleep;

use crate::stage::{LEASE, PATIENCE, Process, Stage, TTL, in_time};

on_every_backend!(
    mismatch_while_running_in_this_process,
    mismatch_while_running_elsewhere,
    mismatch_after_completion,
    mismatch_after_failure,
    mismatch_after_a_parked_crash,
    mismatch_when_the_lease_is_over,
    mismatch_with_another_operation_of_the_same_key,
    mismatch_does_not_wait,
    same_arguments_are_no_mismatch,
);

/// A call with other arguments, which must be refused at once and leave everything as it is.
async fn assert_mismatch(stage: &Stage, process: &Process, key: &str) {
    let before = stage.record(key).await.unwrap();
    let executions = stage.ledger.executions(key);
    let other = process.charge(key).fingerprint(&"other").wait(TTL).ttl(TTL * 2);
    let error = in_time(other.run(stage.body(key, "other"))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.is_conflict() && !error.is_retryable());
    let after = stage.record(key).await.unwrap();
    assert_eq!((after.owner, after.fence), (before.owner, before.fence));
    assert_eq!((after.status(), after.fingerprint), (before.status(), before.fingerprint));
    assert_eq!(stage.ledger.executions(key), executions);
}

async fn mismatch_while_running_in_this_process(stage: Stage) {
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    assert_mismatch(&stage, &process, "k").await;
    assert_eq!(running.finish().await.unwrap().value, "first");
    assert_mismatch(&stage, &process, "k").await;
}

async fn mismatch_while_running_elsewhere(stage: Stage) {
    let running = stage.process().await.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    assert_mismatch(&stage, &stage.process().await, "k").await;
    assert_eq!(running.finish().await.unwrap().value, "first");
}

async fn mismatch_after_completion(stage: Stage) {
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    for process in [process, stage.process().await] {
        assert_mismatch(&stage, &process, "k").await;
    }
}

async fn mismatch_after_failure(stage: Stage) {
    let process = stage.process().await;
    let declined = async { Err::<(), _>(Error::new(ErrorKind::Configuration, "declined")) };
    process.charge("k").run(declined).await.unwrap_err();
    for process in [process, stage.process().await] {
        assert_mismatch(&stage, &process, "k").await;
    }
}

async fn mismatch_after_a_parked_crash(stage: Stage) {
    stage.dead_owner("k", LEASE, CrashPolicy::Park).await;
    let process = stage.process().await;
    let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "second"));
    assert_eq!(in_time(call).await.unwrap_err().kind(), ErrorKind::Indeterminate);
    assert_mismatch(&stage, &process, "k").await;
}

async fn mismatch_when_the_lease_is_over(stage: Stage) {
    let process = stage.process().await;
    for policy in [CrashPolicy::Retry, CrashPolicy::Park] {
        let key = format!("{policy:?}");
        stage.dead_owner(&key, LEASE, policy).await;
        sleep(LEASE * 2).await;
        assert_mismatch(&stage, &process, &key).await;
    }
}

async fn mismatch_with_another_operation_of_the_same_key(stage: Stage) {
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    let refund = process.idem.operation("refund").key("k").run(stage.body("k", "refunded"));
    assert_eq!(refund.await.unwrap_err().kind(), ErrorKind::Mismatch);
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn mismatch_does_not_wait(stage: Stage) {
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    for caller in [process.clone(), stage.process().await] {
        let other = caller.charge("k").fingerprint(&1).wait(TTL);
        let error = in_time(other.run(stage.body("k", "other"))).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Mismatch);
    }
    assert_eq!(running.finish().await.unwrap().value, "first");
}

async fn same_arguments_are_no_mismatch(stage: Stage) {
    let args = ("user-7", 1999_u64, [1, 2, 3]);
    let with = |op: Operation| op.fingerprint(&args);
    for process in [stage.process().await, stage.process().await] {
        let value = with(process.charge("k")).run(stage.body("k", "first")).await.unwrap();
        assert_eq!(value, "first");
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}
