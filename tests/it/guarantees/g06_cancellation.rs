//! G6: a dropped future or a panic is a crash that was seen; its policy applies at once, it is told to a hook, and no key stays locked past
//! its lease. A drop before the body or after it is no crash.

use std::time::Duration;

use idem_runtime::hooks::AbandonReason::{Cancelled, Panicked};
use idem_runtime::record::{CrashPolicy, Status};
use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind, Operation, Source};
use tokio::time::{Instant, sleep};

use crate::stage::{
    Gate, LEASE, PATIENCE, Process, Stage, TTL, begin_waiting, in_time, kind, until,
};

on_every_backend!(
    dropped_while_claiming_leaves_no_lock,
    dropped_after_the_claim_was_applied_leaves_no_lock,
    dropped_while_running_releases_at_once,
    dropped_while_running_parks_at_once_where_asked,
    dropped_by_select_while_running_releases_at_once,
    dropped_while_completing_goes_on_completing,
    dropped_while_releasing_goes_on_releasing,
    dropped_while_waiting_for_this_process_disturbs_nobody,
    dropped_while_waiting_for_another_process_disturbs_nobody,
    dropped_leader_hands_over_to_a_follower,
    dropped_body_is_gone_before_its_key_is_released,
    panicking_body_releases_at_once,
    panicking_body_parks_at_once_where_asked,
    dropped_before_its_first_poll_does_nothing,
    dropped_by_a_panic_of_its_caller_is_cancelled,
    a_hook_that_panics_leaves_no_lock,
    a_panic_waits_no_longer_than_a_second_for_its_policy,
    release_that_hangs_locks_the_key_no_longer_than_its_lease,
);

/// A lease that no test waits for: what is free within [`PATIENCE`] was freed, and did not run out.
const LONG: Duration = Duration::from_secs(300);

pub(super) fn long(operation: Operation) -> Operation {
    operation.lease(LONG)
}

/// Drops a call when it has come to a verb, which must not let it pass so soon.
async fn drop_at<F: Future>(process: &Process, verb: Verb, call: F)
where
    F::Output: std::fmt::Debug,
{
    let come = until("the call has come to the verb", || process.faults.calls(verb) > 0);
    drop_when(come, call).await;
}

/// Drops a call whose verb was applied and is not answered, when the record shows it.
pub(super) async fn drop_applied<F: Future>(stage: &Stage, key: &str, status: Status, call: F)
where
    F::Output: std::fmt::Debug,
{
    let applied = async {
        while stage.status(key).await != Some(status) {
            sleep(Duration::from_millis(5)).await;
        }
    };
    drop_when(in_time(applied), call).await;
}

async fn drop_when<F: Future>(come: impl Future<Output = ()>, call: F)
where
    F::Output: std::fmt::Debug,
{
    tokio::select! {
        biased;
        () = come => {}
        ended = call => panic!("{ended:?}"),
    }
}

/// The key is free: another process runs.
pub(super) async fn assert_free(stage: &Stage, key: &str) {
    let other = stage.process().await;
    let call =
        other.charge(key).lease(LONG).wait(PATIENCE).run_with_outcome(stage.body(key, "other"));
    let outcome = in_time(call).await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
}

pub(super) async fn idle(process: &Process) {
    until("nothing is under way", || process.idem.in_flight() == 0).await;
}

async fn dropped_while_claiming_leaves_no_lock(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Claim, Fault::Hang);
    let call = long(process.charge("k")).run_with_outcome(stage.body("k", "dropped"));
    drop_at(&process, Verb::Claim, call).await;
    idle(&process).await;
    assert_free(&stage, "k").await;
    assert_eq!(stage.ledger.executions("k"), 1);
    assert_eq!(process.heard.abandoned(), []);
}

async fn dropped_after_the_claim_was_applied_leaves_no_lock(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Claim, Fault::HangAfter);
    let call = long(process.charge("k")).run_with_outcome(stage.body("k", "dropped"));
    Box::pin(drop_applied(&stage, "k", Status::Processing, call)).await;
    idle(&process).await;
    assert_eq!(stage.status("k").await, Some(Status::Released));
    assert_free(&stage, "k").await;
    assert_eq!(process.heard.abandoned(), []);
}

async fn dropped_while_running_releases_at_once(stage: Stage) {
    let process = stage.process().await;
    process.begin(&stage, "k", "dropped", long).await.cancel().await;
    idle(&process).await;
    assert_eq!(stage.status("k").await, Some(Status::Released));
    assert_free(&stage, "k").await;
    assert_eq!(process.faults.calls(Verb::Complete), 0);
    assert_eq!(process.heard.abandoned(), [Cancelled]);
}

async fn dropped_while_running_parks_at_once_where_asked(stage: Stage) {
    let process = stage.process().await;
    let park = |op| long(op).on_crash(CrashPolicy::Park);
    process.begin(&stage, "k", "dropped", park).await.cancel().await;
    idle(&process).await;
    assert_eq!(process.heard.abandoned(), [Cancelled]);
    for process in [process, stage.process().await] {
        let call = long(process.charge("k")).wait(PATIENCE).run(stage.body("k", "other"));
        assert_eq!(kind(in_time(call).await), ErrorKind::Indeterminate);
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn dropped_by_select_while_running_releases_at_once(stage: Stage) {
    let process = stage.process().await;
    let gate = Gate::default();
    tokio::select! {
        outcome = long(process.charge("k")).run_with_outcome(stage.gated("k", "dropped", &gate)) => {
            panic!("{outcome:?}")
        }
        () = gate.begun() => {}
    }
    idle(&process).await;
    assert_eq!(process.heard.abandoned(), [Cancelled]);
    assert_free(&stage, "k").await;
}

async fn dropped_while_completing_goes_on_completing(stage: Stage) {
    for (key, fault) in [
        ("before", Fault::Hang),
        ("after", Fault::HangAfter),
        ("late", Fault::Delay(Duration::from_millis(500))),
    ] {
        let process = stage.process().await;
        process.faults.next(Verb::Complete, fault);
        let call = long(process.charge(key)).run_with_outcome(stage.body(key, "first"));
        if matches!(fault, Fault::HangAfter) {
            Box::pin(drop_applied(&stage, key, Status::Completed, call)).await;
        } else {
            drop_at(&process, Verb::Complete, call).await;
        }
        idle(&process).await;
        let other = stage.process().await;
        let replay = other.charge(key).run_with_outcome(stage.body(key, "other")).await.unwrap();
        assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true), "{key}");
        assert_eq!(stage.ledger.executions(key), 1);
        assert_eq!(process.heard.abandoned(), []);
    }
}

async fn dropped_while_releasing_goes_on_releasing(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Release, Fault::Hang);
    let call = long(process.charge("k")).store_if(|_: &String| false);
    drop_at(&process, Verb::Release, call.run_with_outcome(stage.body("k", "first"))).await;
    idle(&process).await;
    assert_eq!(process.heard.abandoned(), []);
    assert_free(&stage, "k").await;
}

async fn dropped_while_waiting_for_this_process_disturbs_nobody(stage: Stage) {
    let process = stage.process().await;
    let running = process.begin(&stage, "k", "first", long).await;
    let call = long(process.charge("k")).wait(TTL).run_with_outcome(stage.body("k", "waiter"));
    let gate = Gate::default();
    drop_when(gate.begun(), gate.waits(call)).await;
    assert_eq!(process.idem.in_flight(), 1);
    assert_eq!(running.finish().await.unwrap().source, Source::Executed { recovered: false });
    assert_eq!(process.faults.calls(Verb::Release), 0);
    assert_eq!(process.heard.abandoned(), []);
}

async fn dropped_while_waiting_for_another_process_disturbs_nobody(stage: Stage) {
    let (one, two) = (stage.process().await, stage.process().await);
    let running = one.begin(&stage, "k", "first", long).await;
    let call = long(two.charge("k")).wait(TTL).run_with_outcome(stage.body("k", "waiter"));
    drop_when(two.waits_elsewhere(), call).await;
    idle(&two).await;
    assert_eq!(stage.record("k").await.unwrap().status(), Status::Processing);
    assert_eq!(running.finish().await.unwrap().source, Source::Executed { recovered: false });
    assert_eq!(stage.ledger.executions("k"), 1);
    assert_eq!((one.heard.abandoned(), two.heard.abandoned()), (vec![], vec![]));
}

async fn dropped_leader_hands_over_to_a_follower(stage: Stage) {
    let process = stage.process().await;
    let leader = process.begin(&stage, "k", "leader", long).await;
    let mut followers = Vec::new();
    for _ in 0..10 {
        let call = long(process.charge("k")).wait(PATIENCE);
        followers.push(begin_waiting(call.run_with_outcome(stage.body("k", "follower"))).await);
    }
    leader.cancel().await;
    let mut executed = 0;
    for follower in followers {
        let outcome = in_time(follower).await.unwrap().unwrap();
        assert_eq!(outcome.value, "follower");
        executed += usize::from(!outcome.is_replayed());
    }
    assert_eq!(executed, 1);
    assert_eq!(stage.ledger.executions("k"), 2);
    assert_eq!(stage.ledger.max_concurrent("k"), 1);
}

/// A body's destructors belong to it: a rollback has to end before the next body begins.
async fn dropped_body_is_gone_before_its_key_is_released(stage: Stage) {
    struct Rollback(
        #[expect(dead_code, reason = "ends when this is dropped")] testkit::ledger::Run,
    );
    impl Drop for Rollback {
        fn drop(&mut self) {
            std::thread::sleep(Duration::from_millis(200));
        }
    }
    let (one, two) = (stage.process().await, stage.process().await);
    let gate = Gate::default();
    let task = tokio::spawn({
        let (stage, inside, call) = (stage.clone(), gate.clone(), long(one.charge("k")));
        async move {
            let body = async {
                let _rollback = Rollback(stage.ledger.start("k", "dropped"));
                inside.pass().await;
                Ok::<_, Error>(String::new())
            };
            call.run_with_outcome(body).await
        }
    });
    gate.begun().await;
    let waiter = long(two.charge("k")).wait(PATIENCE).run_with_outcome(stage.body("k", "second"));
    let drop = async {
        two.waits_elsewhere().await;
        task.abort();
    };
    let (second, ()) = in_time(async { tokio::join!(waiter, drop) }).await;
    assert_eq!(second.unwrap().value, "second");
    assert_eq!(stage.ledger.max_concurrent("k"), 1);
}

async fn panicked(process: &Process, policy: CrashPolicy) {
    let call = long(process.charge("k")).on_crash(policy);
    let body = async {
        tokio::task::yield_now().await;
        panic!("on purpose")
    };
    let task = tokio::spawn(async move { call.run::<String, Error, _>(body).await });
    let panic = in_time(task).await.unwrap_err().into_panic();
    assert_eq!(panic.downcast_ref(), Some(&"on purpose"));
    idle(process).await;
    assert_eq!(process.heard.abandoned(), [Panicked]);
}

async fn panicking_body_releases_at_once(stage: Stage) {
    let process = stage.process().await;
    panicked(&process, CrashPolicy::Retry).await;
    assert_free(&stage, "k").await;
    // The handle is as good as before.
    assert_eq!(process.charge("k").run(stage.body("k", "later")).await.unwrap(), "other");
}

async fn panicking_body_parks_at_once_where_asked(stage: Stage) {
    panicked(&stage.process().await, CrashPolicy::Park).await;
    let other = stage.process().await;
    let call = other.charge("k").wait(PATIENCE).run(stage.body("k", "other"));
    assert_eq!(kind(in_time(call).await), ErrorKind::Indeterminate);
    assert_eq!(stage.ledger.executions("k"), 0);
}

async fn dropped_before_its_first_poll_does_nothing(stage: Stage) {
    let process = stage.process().await;
    drop(process.charge("k").run_with_outcome(stage.body("k", "dropped")));
    assert_eq!(process.idem.in_flight(), 0);
    assert_eq!(process.faults.calls(Verb::Claim), 0);
    assert_eq!(stage.ledger.executions("k"), 0);
    assert_eq!(process.heard.abandoned(), []);
}

/// A panic elsewhere in the task drops the call as well: its body did not panic.
async fn dropped_by_a_panic_of_its_caller_is_cancelled(stage: Stage) {
    let process = stage.process().await;
    let gate = Gate::default();
    let task = tokio::spawn({
        let (stage, inside, call) = (stage.clone(), gate.clone(), long(process.charge("k")));
        async move {
            let panics = async {
                inside.begun().await;
                panic!("on purpose")
            };
            tokio::join!(call.run_with_outcome(stage.gated("k", "dropped", &inside)), panics)
        }
    });
    assert!(in_time(task).await.unwrap_err().is_panic());
    idle(&process).await;
    assert_eq!(process.heard.abandoned(), [Cancelled]);
    assert_free(&stage, "k").await;
}

async fn a_hook_that_panics_leaves_no_lock(stage: Stage) {
    let process = stage.process_with(|builder| builder.on_abandoned(|_| panic!("a hook"))).await;
    process.begin(&stage, "k", "dropped", long).await.cancel().await;
    idle(&process).await;
    assert_free(&stage, "k").await;
}

async fn a_panic_waits_no_longer_than_a_second_for_its_policy(stage: Stage) {
    let process = stage.process().await;
    process.faults.next(Verb::Release, Fault::Hang);
    let call = long(process.charge("k"));
    let task = tokio::spawn(call.run::<String, Error, _>(async { panic!("on purpose") }));
    assert!(in_time(task).await.unwrap_err().is_panic());
    idle(&process).await;
    assert_free(&stage, "k").await;
}

async fn release_that_hangs_locks_the_key_no_longer_than_its_lease(stage: Stage) {
    let process = stage.process().await;
    process.faults.always(Verb::Release, Fault::Hang);
    let running = process.begin(&stage, "k", "dropped", |op| op).await;
    let dropped = Instant::now();
    running.cancel().await;
    let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "second"));
    assert_eq!(in_time(call).await.unwrap(), "second");
    assert!(dropped.elapsed() < LEASE + PATIENCE / 2, "{:?}", dropped.elapsed());
}
