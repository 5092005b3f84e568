//! What a body knows of its call, and calls inside of calls.

use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::StorageErrorKind;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Idempotency, Source, current};

use crate::stage::{LEASE, PATIENCE, Stage, in_time, kind};

on_every_backend!(
    the_context_is_there_inside_a_body_alone,
    the_context_tells_what_the_record_says,
    a_call_inside_itself_is_reentrant,
    a_call_deep_inside_itself_is_reentrant,
    calls_of_other_keys_and_storages_nest,
    a_body_that_runs_without_a_claim_has_no_context_and_not_the_outer_ones,
    a_body_that_runs_without_a_claim_cannot_wait_for_the_calls_around_it,
);

async fn the_context_is_there_inside_a_body_alone(stage: Stage) {
    let process = stage.process().await;
    assert!(current().is_none());
    let body = async {
        assert!(current().is_some());
        let elsewhere = tokio::spawn(async { current().is_none() });
        assert!(elsewhere.await.unwrap(), "a task of its own has no context");
        Ok::<_, Error>(())
    };
    process.charge("k").run(body).await.unwrap();
    assert!(current().is_none());
}

async fn the_context_tells_what_the_record_says(stage: Stage) {
    stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    let process = stage.process().await;
    let body = async {
        let context = current().unwrap();
        assert_eq!((context.operation(), context.key().as_str()), ("charge", "k"));
        assert_eq!((context.tenant(), context.attempt()), (None, 2));
        let record = stage.record("k").await.unwrap();
        assert_eq!((context.owner(), context.fence()), (record.owner, record.fence));
        Ok::<_, Error>(())
    };
    in_time(process.charge("k").wait(PATIENCE).run(body)).await.unwrap();
    let body = async { Ok::<_, Error>(current().unwrap().tenant().map(ToOwned::to_owned)) };
    let tenant = process.charge("k").tenant("t").run(body).await.unwrap();
    assert_eq!(tenant.as_deref(), Some("t"));
}

async fn a_call_inside_itself_is_reentrant(stage: Stage) {
    let process = stage.process().await;
    let body = async {
        let inner = process.charge("k").wait(PATIENCE).run(stage.body("k", "inner")).await;
        assert_eq!(kind(inner), ErrorKind::Reentrant);
        stage.body("k", "outer").await
    };
    let outer = process.charge("k").wait(PATIENCE).run(body);
    assert_eq!(in_time(outer).await.unwrap(), "outer");
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn a_call_deep_inside_itself_is_reentrant(stage: Stage) {
    let process = stage.process().await;
    let body = async {
        let between = async {
            let inner = process.charge("k").wait(PATIENCE).run(stage.body("k", "inner")).await;
            Ok::<_, Error>(kind(inner).as_str().to_owned())
        };
        process.charge("between").run(between).await
    };
    let outer = process.charge("k").wait(PATIENCE).run(body);
    assert_eq!(in_time(outer).await.unwrap(), "reentrant");
}

async fn calls_of_other_keys_and_storages_nest(stage: Stage) {
    let process = stage.process().await;
    let other = Idempotency::builder(stage.storage().await);
    let other = other.namespace(format!("{}-other", stage.namespace)).build().unwrap();
    let body = async {
        let same_key = other.operation("charge").key("k").run(stage.body("k", "inner"));
        assert_eq!(same_key.await?, "inner");
        let same_handle = process.charge("j").run(stage.body("j", "inner"));
        assert_eq!(same_handle.await?, "inner");
        assert_eq!(current().unwrap().key().as_str(), "k");
        stage.body("k", "outer").await
    };
    assert_eq!(in_time(process.charge("k").run(body)).await.unwrap(), "outer");
}

async fn a_body_that_runs_without_a_claim_has_no_context_and_not_the_outer_ones(stage: Stage) {
    let process = stage.process().await;
    let body = async {
        process.faults.always(Verb::Claim, Fault::Fail(StorageErrorKind::Full));
        let unprotected = async { Ok::<_, Error>(current().is_none()) };
        let hidden = process.charge("inner").fail_open().run_with_outcome(unprotected).await?;
        assert_eq!((hidden.value, hidden.source), (true, Source::Unrecorded));
        assert_eq!(current().unwrap().key().as_str(), "outer");
        Ok::<_, Error>(())
    };
    process.charge("outer").run(body).await.unwrap();
}

async fn a_body_that_runs_without_a_claim_cannot_wait_for_the_calls_around_it(stage: Stage) {
    let process = stage.process().await;
    let again = async |key: &str| {
        let call = process.charge(key).wait(PATIENCE).run(stage.body(key, "again"));
        Ok::<_, Error>(kind(in_time(call).await).as_str().to_owned())
    };
    let body = async {
        process.faults.next(Verb::Claim, Fault::Fail(StorageErrorKind::Full));
        let unprotected = async {
            assert_eq!(again("inner").await?, "reentrant");
            again("outer").await
        };
        process.charge("inner").fail_open().run(unprotected).await
    };
    assert_eq!(process.charge("outer").run(body).await.unwrap(), "reentrant");
}
