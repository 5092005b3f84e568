//! G5: after its owner dies a key is resolved within lease + one wait step, by the crash policy of the run that died.

use std::time::Duration;

use idem_runtime::record::{CrashPolicy, Finished, State, Status};
use idem_runtime::storage::{Complete, Storage, Written};
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{ErrorKind, Source};
use idem_tests::{Body, Ended};
use tokio::time::Instant;

use crate::stage::{GRAIN, LEASE, PATIENCE, Stage, TTL, in_time, kind};
use crate::worker::Worker;

on_every_backend!(
    a_dead_owner_is_replaced_when_its_lease_is_over,
    a_dead_owner_that_parks_leaves_indeterminate_and_nobody_runs,
    the_policy_is_that_of_the_run_that_died,
    a_caller_that_may_not_wait_is_told_how_long_the_lease_lasts,
    the_late_owner_of_a_parked_key_heals_it,
    two_owners_that_die_one_after_the_other_are_both_replaced,
);

on_every_shared_backend!(
    a_killed_process_is_replaced_within_its_lease_and_one_wait_step,
    a_killed_process_that_parks_is_never_replaced
);

async fn a_dead_owner_is_replaced_when_its_lease_is_over(stage: Stage) {
    let process = stage.process().await;
    let claimed = Instant::now();
    stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    let call = process.charge("k").wait(PATIENCE).run_with_outcome(stage.body("k", "second"));
    let second = in_time(call).await.unwrap();
    assert_eq!(second.source, Source::Executed { recovered: true });
    assert!(claimed.elapsed() + GRAIN >= LEASE, "{:?}", claimed.elapsed());
    assert_eq!(process.heard.takeovers(), 1);
}

async fn a_dead_owner_that_parks_leaves_indeterminate_and_nobody_runs(stage: Stage) {
    stage.dead_owner("k", LEASE, CrashPolicy::Park).await;
    for _ in 0..3 {
        let process = stage.process().await;
        let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "second"));
        assert_eq!(kind(in_time(call).await), ErrorKind::Indeterminate);
        assert_eq!(process.heard.takeovers(), 0);
    }
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Failed);
    assert_eq!(stage.ledger.executions("k"), 0);
}

async fn the_policy_is_that_of_the_run_that_died(stage: Stage) {
    let process = stage.process().await;
    stage.dead_owner("parked", LEASE, CrashPolicy::Park).await;
    stage.dead_owner("retried", LEASE, CrashPolicy::Retry).await;
    let call = |key, policy| {
        process.charge(key).on_crash(policy).wait(PATIENCE).run(stage.body(key, "second"))
    };
    let parked = in_time(call("parked", CrashPolicy::Retry)).await;
    assert_eq!(kind(parked), ErrorKind::Indeterminate);
    assert_eq!(in_time(call("retried", CrashPolicy::Park)).await.unwrap(), "second");
}

async fn a_caller_that_may_not_wait_is_told_how_long_the_lease_lasts(stage: Stage) {
    let lease = Duration::from_secs(100);
    stage.dead_owner("k", lease, CrashPolicy::Retry).await;
    let process = stage.process().await;
    let error = process.charge("k").run(stage.body("k", "second")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyProcessing);
    let retry_after = error.retry_after().unwrap();
    assert!(retry_after <= lease && retry_after > lease / 2, "{retry_after:?}");
    assert!(error.is_retryable() && error.is_conflict());

    let wait = Duration::from_millis(150);
    let begun = Instant::now();
    let waited = process.charge("k").wait(wait).run(stage.body("k", "second"));
    assert_eq!(kind(in_time(waited).await), ErrorKind::AlreadyProcessing);
    assert!(begun.elapsed() >= wait);
    assert_eq!(process.idem.in_flight(), 0);
}

async fn the_late_owner_of_a_parked_key_heals_it(stage: Stage) {
    let late = stage.process().await;
    let park = |op: idem_runtime::Operation| op.on_crash(CrashPolicy::Park);
    let running = late.begin(&stage, "k", "late", park).await;
    // Not before: a claim that is answered late is renewed before its body begins.
    late.faults.always(Verb::Renew, Fault::Refuse);
    let other = stage.process().await;
    let call = other.charge("k").wait(PATIENCE).run(stage.body("k", "other"));
    assert_eq!(kind(in_time(call).await), ErrorKind::Indeterminate);
    let outcome = running.finish().await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
    let replay = other.charge("k").run_with_outcome(stage.body("k", "other")).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("late", true));
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn two_owners_that_die_one_after_the_other_are_both_replaced(stage: Stage) {
    let first = stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    tokio::time::sleep(LEASE + Duration::from_millis(50)).await;
    stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    let process = stage.process().await;
    let call = process.charge("k").wait(PATIENCE).run_with_outcome(stage.body("k", "third"));
    assert_eq!(in_time(call).await.unwrap().source, Source::Executed { recovered: true });
    // The first one is not dead after all, but much too late.
    let record = stage.record("k").await.unwrap();
    let State::Finished(Finished { finish, .. }) = record.state else { panic!("{record:?}") };
    let complete = Complete { key: first.key, owner: first.owner, finish, ttl: TTL };
    let written = stage.storage().await.complete(&complete).await.unwrap();
    assert!(matches!(written, Written::LeaseLost(_)), "{written:?}");
}

/// A worker that is killed while its body runs, and the time of its death.
fn killed(stage: &Stage, park: bool) -> std::time::Instant {
    let mut job = stage.job("k", "killed");
    job.park = park;
    job.body = Body::AwaitsFile(stage.file("never"));
    let mut worker = Worker::start(&job);
    worker.go_and_begin();
    worker.process.kill();
    stage.ledger.process_ended(worker.process.pid());
    std::time::Instant::now()
}

fn a_killed_process_is_replaced_within_its_lease_and_one_wait_step(stage: &Stage) {
    let death = killed(stage, false);
    let mut second = Worker::start(&stage.job("k", "second"));
    second.go();
    let executed = Ended::Executed { value: "second".to_owned(), recovered: true };
    assert_eq!(second.ended(1), [executed]);
    // A wait step is a second at most; the rest is what a busy machine needs.
    assert!(death.elapsed() < LEASE + Duration::from_secs(10), "{:?}", death.elapsed());
    assert_eq!(stage.ledger.executions("k"), 2);
    assert_eq!(stage.ledger.max_concurrent("k"), 1);
}

fn a_killed_process_that_parks_is_never_replaced(stage: &Stage) {
    killed(stage, true);
    for _ in 0..2 {
        let mut job = stage.job("k", "second");
        job.calls = 5;
        let mut other = Worker::start(&job);
        other.go();
        assert_eq!(other.ended(5), vec![Ended::refused(ErrorKind::Indeterminate); 5]);
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}
