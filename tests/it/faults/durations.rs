//! Durations of nothing and of more than there is.

use std::time::Duration;

use idem_runtime::record::CrashPolicy;
use idem_runtime::testing::Verb;
use idem_runtime::{ErrorKind, Idempotency, IdempotencyBuilder, Operation, Source};
use tokio::time::timeout;

use crate::stage::{Stage, in_time, kind};

on_every_backend!(
    durations_that_make_no_sense_are_refused_before_the_storage_and_the_body,
    a_handle_whose_durations_make_no_sense_is_not_built,
    the_longest_durations_work,
    a_wait_of_nothing_does_not_wait,
    the_shortest_durations_work,
    a_lease_longer_than_the_handles_ttl_prolongs_the_ttl,
    a_ttl_shorter_than_the_default_lease_shortens_the_lease,
);

const MAX: Duration = Duration::MAX;
const ZERO: Duration = Duration::ZERO;
const MINUTE: Duration = Duration::from_secs(60);

async fn durations_that_make_no_sense_are_refused_before_the_storage_and_the_body(stage: Stage) {
    let process = stage.process().await;
    let settings: [fn(Operation) -> Operation; 4] = [
        |op| op.ttl(ZERO),
        |op| op.lease(ZERO),
        |op| op.ttl(MINUTE).lease(MINUTE * 2),
        |op| op.ttl(MINUTE).lease(MAX),
    ];
    for (number, change) in settings.into_iter().enumerate() {
        let error = change(process.charge("k")).run(stage.body("k", "")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration, "{number}");
        assert_eq!(error.operation(), Some("charge"));
    }
    assert_eq!(process.faults.calls(Verb::Claim), 0);
    assert_eq!(stage.ledger.executions("k"), 0);
}

async fn a_handle_whose_durations_make_no_sense_is_not_built(stage: Stage) {
    let settings: [fn(IdempotencyBuilder) -> IdempotencyBuilder; 3] = [
        |builder| builder.ttl(ZERO),
        |builder| builder.lease(ZERO),
        |builder| builder.ttl(MINUTE).lease(MINUTE * 2),
    ];
    for change in settings {
        let built = change(Idempotency::builder(stage.storage().await)).build();
        assert_eq!(kind(built), ErrorKind::Configuration);
    }
}

/// Who says that a result is kept for five seconds need not think of a lease.
async fn a_ttl_shorter_than_the_default_lease_shortens_the_lease(stage: Stage) {
    let short = Duration::from_secs(5);
    let default = Idempotency::builder(stage.storage().await).namespace(&stage.namespace);
    let handles = [
        (default.build().unwrap(), Some(short)),
        (Idempotency::builder(stage.storage().await).ttl(short).build().unwrap(), None),
    ];
    for (number, (idem, ttl)) in handles.into_iter().enumerate() {
        let operation = idem.operation("charge").key(format!("short-{number}"));
        let operation = match ttl {
            Some(ttl) => operation.ttl(ttl),
            None => operation,
        };
        let body = async { Ok::<_, idem_runtime::Error>(number) };
        assert_eq!(operation.run(body).await.unwrap(), number);
    }
}

async fn the_longest_durations_work(stage: Stage) {
    for policy in [CrashPolicy::Retry, CrashPolicy::Park] {
        let process = stage.process_with(|builder| builder.lease(MAX).ttl(MAX)).await;
        let key = format!("{policy:?}");
        let running =
            process.begin(&stage, &key, "first", |op| op.wait(MAX).on_crash(policy)).await;
        let other = stage.process().await;
        let rival = other.charge(&key).run(stage.body(&key, "other"));
        assert_eq!(kind(rival.await), ErrorKind::AlreadyProcessing);
        for process in [&process, &other] {
            let waiting = process.charge(&key).wait(MAX).run(stage.body(&key, "other"));
            timeout(Duration::from_millis(100), waiting).await.unwrap_err();
        }
        let outcome = running.finish().await.unwrap();
        assert_eq!(outcome.source, Source::Executed { recovered: false });
        let replay =
            other.charge(&key).wait(MAX).run_with_outcome(stage.body(&key, "other")).await.unwrap();
        assert!(replay.is_replayed());
    }
}

async fn a_wait_of_nothing_does_not_wait(stage: Stage) {
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", |op| op.wait(ZERO)).await;
    for caller in [&process, &stage.process().await] {
        let call = caller.charge("k").wait(ZERO).run(stage.body("k", "other"));
        assert_eq!(kind(in_time(call).await), ErrorKind::AlreadyProcessing);
    }
    assert_eq!(running.finish().await.unwrap().value, "first");
}

async fn the_shortest_durations_work(stage: Stage) {
    let process = stage.process().await;
    let nano = Duration::from_nanos(1);
    let call = process.charge("k").lease(nano).ttl(nano).run_with_outcome(stage.body("k", "first"));
    match in_time(call).await {
        // Its record may be gone before it is completed, but it says so.
        Ok(outcome) => {
            assert!(matches!(outcome.source, Source::Executed { .. } | Source::Unrecorded));
            assert_eq!(outcome.value, "first");
        }
        // On a slow machine the lease may be over before every answer, and no body begins with a lease that is over.
        Err(error) => {
            assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Storage, true));
            assert_eq!(stage.ledger.executions("k"), 0);
        }
    }
}

async fn a_lease_longer_than_the_handles_ttl_prolongs_the_ttl(stage: Stage) {
    let process = stage.process_with(|builder| builder.ttl(MINUTE)).await;
    let call = process.charge("k").lease(MINUTE * 5).run(stage.body("k", "first"));
    assert_eq!(call.await.unwrap(), "first");
}
