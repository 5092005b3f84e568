//! Hooks are called when what they are for happens, and only then.

use std::sync::{Arc, Mutex};

use idem_runtime::record::CrashPolicy;
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind};

use crate::stage::{LEASE, PATIENCE, Stage, begin_waiting, in_time};

on_every_backend!(
    every_replay_is_heard_and_nothing_else,
    a_takeover_is_heard_before_the_body_runs,
    events_tell_operation_key_and_tenant,
);

async fn every_replay_is_heard_and_nothing_else(stage: Stage) {
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    assert_eq!(process.heard.replays(), 0);
    for replays in 1..4 {
        process.charge("k").run(stage.body("k", "again")).await.unwrap();
        assert_eq!(process.heard.replays(), replays);
    }
    let declined = || async { Err::<(), _>(Error::new(ErrorKind::Configuration, "declined")) };
    process.charge("failed").run(declined()).await.unwrap_err();
    assert_eq!(process.heard.replays(), 3);
    process.charge("failed").run(declined()).await.unwrap_err();
    assert_eq!(process.heard.replays(), 4);
    // A duplicate in the same process is a replay as well.
    let running = process.begin(&stage, "running", "first", |op| op).await;
    let duplicate = process.charge("running").wait(PATIENCE).run(stage.body("running", "other"));
    let waiter = begin_waiting(duplicate).await;
    assert_eq!(running.finish().await.unwrap().value, "first");
    in_time(waiter).await.unwrap().unwrap();
    assert_eq!(process.heard.replays(), 5);
    assert_eq!((process.heard.takeovers(), process.heard.unrecorded()), (0, 0));
}

async fn a_takeover_is_heard_before_the_body_runs(stage: Stage) {
    stage.dead_owner("k", LEASE, CrashPolicy::Retry).await;
    let process = stage.process().await;
    let heard = Arc::clone(&process.heard);
    let body = async { Ok::<_, Error>(heard.takeovers()) };
    let call = process.charge("k").wait(PATIENCE).run(body);
    assert_eq!(in_time(call).await.unwrap(), 1);
    assert_eq!(process.heard.takeovers(), 1);
}

async fn events_tell_operation_key_and_tenant(stage: Stage) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let process = stage
        .process_with(|mut builder| {
            let told = Arc::clone(&events);
            builder = builder.on_replay(move |event| {
                let tenant = event.tenant.map(ToOwned::to_owned);
                let reason = event.reason.map(Error::kind);
                told.lock().unwrap().push((
                    event.operation.to_owned(),
                    event.key.to_owned(),
                    tenant,
                    reason,
                ));
            });
            builder
        })
        .await;
    process.faults.next(Verb::Claim, Fault::LoseReply);
    for _ in 0..2 {
        process.charge("k").tenant("t").run(stage.body("k", "first")).await.unwrap();
    }
    let expected = ("charge".to_owned(), "k".to_owned(), Some("t".to_owned()), None);
    assert_eq!(*events.lock().unwrap(), [expected]);
}
