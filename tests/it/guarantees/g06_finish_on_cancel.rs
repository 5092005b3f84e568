//! G6: with `on_cancel = "finish"` a body whose caller is dropped runs to its end; the crash policy
//! applies only where its runtime ends before it, or where it panics.

use std::time::Duration;

use idem_runtime::hooks::AbandonReason::{Cancelled, Panicked};
use idem_runtime::record::{CrashPolicy, Status};
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind};
use tokio::time::sleep;

use super::g06_cancellation::{assert_free, drop_applied, idle, long};
use crate::stage::{Gate, LEASE, PATIENCE, Process, Stage, begin_waiting, in_time, kind, until};

on_every_backend!(
    finishing_body_runs_to_its_end_without_its_caller,
    finishing_body_gives_its_result_to_those_who_wait,
    finishing_body_that_fails_without_its_caller_is_recorded,
    finishing_body_that_panics_without_its_caller_is_a_crash,
    finishing_call_that_is_dropped_before_its_body_leaves_no_lock,
    finishing_body_that_loses_its_runtime_is_a_crash,
    drain_waits_for_bodies_without_a_caller_on_every_runtime,
    drain_waits_for_what_is_written_in_the_background,
);

/// A call with `on_cancel = "finish"` whose body has begun and waits at the gate when the call is dropped.
async fn finishing(process: &Process, stage: &Stage, key: &str, park: bool) -> Gate {
    let gate = Gate::default();
    let policy = if park { CrashPolicy::Park } else { CrashPolicy::Retry };
    let operation = process.charge(key).on_crash(policy).finish_on_cancel();
    let body = {
        let (stage, key, gate) = (stage.clone(), key.to_owned(), gate.clone());
        async move { stage.gated(&key, "first", &gate).await }
    };
    tokio::select! {
        outcome = operation.run_with_outcome(body) => panic!("{outcome:?}"),
        () = gate.begun() => {}
    }
    gate
}

async fn finishing_body_runs_to_its_end_without_its_caller(stage: Stage) {
    let process = stage.process().await;
    let gate = finishing(&process, &stage, "k", false).await;
    // Its lease is kept up: for others it is a call like any other.
    sleep(LEASE * 3).await;
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Processing);
    assert_eq!((process.idem.in_flight(), process.heard.abandoned()), (1, vec![]));
    gate.open();
    in_time(process.idem.drain()).await;
    let other = stage.process().await;
    for process in [process, other] {
        let replay = process.charge("k").run_with_outcome(stage.body("k", "other")).await.unwrap();
        assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn finishing_body_gives_its_result_to_those_who_wait(stage: Stage) {
    let (one, two) = (stage.process().await, stage.process().await);
    let gate = finishing(&one, &stage, "k", false).await;
    let mut waiters = Vec::new();
    for process in [&one, &two] {
        let call = process.charge("k").wait(PATIENCE).run_with_outcome(stage.body("k", "waiter"));
        waiters.push(begin_waiting(call).await);
    }
    two.waits_elsewhere().await;
    gate.open();
    for waiter in waiters {
        let outcome = in_time(waiter).await.unwrap().unwrap();
        assert_eq!((outcome.value.as_str(), outcome.is_replayed()), ("first", true));
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}

/// A body that waits at a gate and then ends in its own way.
async fn ends_without_its_caller(
    process: &Process,
    policy: CrashPolicy,
    ends: impl FnOnce() -> Result<String, Error> + Send + 'static,
) {
    let gate = Gate::default();
    let body = {
        let gate = gate.clone();
        async move {
            gate.pass().await;
            ends()
        }
    };
    let operation = long(process.charge("k")).on_crash(policy).finish_on_cancel();
    tokio::select! {
        outcome = operation.run_with_outcome(body) => panic!("{outcome:?}"),
        () = gate.begun() => {}
    }
    gate.open();
    in_time(process.idem.drain()).await;
}

async fn finishing_body_that_fails_without_its_caller_is_recorded(stage: Stage) {
    let process = stage.process().await;
    let declined = || Err(Error::new(ErrorKind::Configuration, "declined"));
    ends_without_its_caller(&process, CrashPolicy::Retry, declined).await;
    assert_eq!(process.heard.abandoned(), []);
    let other = stage.process().await;
    let call = other.charge("k").run(stage.body("k", "other"));
    assert_eq!(kind(in_time(call).await), ErrorKind::PreviouslyFailed);
}

async fn finishing_body_that_panics_without_its_caller_is_a_crash(stage: Stage) {
    let process = stage.process().await;
    let panics = || panic!("on purpose");
    ends_without_its_caller(&process, CrashPolicy::Retry, panics).await;
    assert_eq!(process.heard.abandoned(), [Panicked]);
    let other = stage.process().await;
    let call = long(other.charge("k")).wait(PATIENCE).on_crash(CrashPolicy::Park);
    assert_eq!(in_time(call.run(stage.body("k", "other"))).await.unwrap(), "other");
}

async fn finishing_call_that_is_dropped_before_its_body_leaves_no_lock(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Claim, Fault::HangAfter);
    let call =
        long(process.charge("k")).finish_on_cancel().run_with_outcome(stage.body("k", "dropped"));
    Box::pin(drop_applied(&stage, "k", Status::Processing, call)).await;
    idle(&process).await;
    assert_free(&stage, "k").await;
    assert_eq!((stage.ledger.executions("k"), process.heard.abandoned()), (1, vec![]));
}

async fn finishing_body_that_loses_its_runtime_is_a_crash(stage: Stage) {
    let process = stage.process().await;
    let (theirs, on) = (process.clone(), stage.clone());
    let ended = std::thread::spawn(move || {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(finishing(&theirs, &on, "k", false));
        runtime.shutdown_timeout(PATIENCE);
    });
    until("the runtime has ended", || ended.is_finished()).await;
    ended.join().unwrap();
    assert_eq!(process.heard.abandoned(), [Cancelled]);
    let other = stage.process().await;
    let call = other.charge("k").wait(PATIENCE).run(stage.body("k", "other"));
    assert_eq!(in_time(call).await.unwrap(), "other");
    assert_eq!(stage.ledger.max_concurrent("k"), 1);
}

async fn drain_waits_for_bodies_without_a_caller_on_every_runtime(stage: Stage) {
    let process = stage.process().await;
    assert_eq!(process.idem.drain_within(PATIENCE).await, 0);
    let here = finishing(&process, &stage, "here", false).await;
    let elsewhere = tokio::runtime::Runtime::new().unwrap();
    let there = {
        let (process, stage) = (process.clone(), stage.clone());
        let begins = async move { finishing(&process, &stage, "there", true).await };
        in_time(elsewhere.spawn(begins)).await.unwrap()
    };
    assert_eq!(process.idem.drain_within(Duration::from_millis(50)).await, 2);
    let drained = tokio::spawn({
        let idem = process.idem.clone();
        async move { idem.drain().await }
    });
    here.open();
    until("one body has ended", || process.idem.in_flight() == 1).await;
    // Calls are served meanwhile.
    assert_eq!(process.charge("new").run(stage.body("new", "new")).await.unwrap(), "new");
    assert!(!drained.is_finished());
    there.open();
    in_time(drained).await.unwrap();
    elsewhere.shutdown_background();
    for key in ["here", "there"] {
        let replay = process.charge(key).run_with_outcome(stage.body(key, "other")).await.unwrap();
        assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
    }
}

async fn drain_waits_for_what_is_written_in_the_background(stage: Stage) {
    let process = stage.process().await;
    for (verb, key) in [(Verb::Complete, "completed"), (Verb::Release, "released")] {
        let before = process.faults.calls(verb);
        // Its own write, and the one in the background.
        process.faults.next(verb, Fault::Delay(Duration::from_millis(300)));
        process.faults.next(verb, Fault::Delay(Duration::from_millis(300)));
        let call = long(process.charge(key)).store_if(move |_: &String| verb == Verb::Complete);
        let call = call.run_with_outcome(stage.body(key, "first"));
        tokio::select! {
            outcome = call => panic!("{outcome:?}"),
            () = until("it is written", || process.faults.calls(verb) > before) => {}
        }
        assert_eq!(process.idem.in_flight(), 1);
        in_time(process.idem.drain()).await;
        let record = stage.record(key).await;
        let status = record.map(|record| record.status());
        assert_ne!(status, Some(Status::Processing), "{key}");
    }
}
