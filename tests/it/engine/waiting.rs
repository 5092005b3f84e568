//! Waiting for somebody else's result: without round trips in one process, woken from another, polling as the net.

use std::time::Duration;

use idem_runtime::testing::{Fault, Verb};
use idem_runtime::{Error, ErrorKind};
use testkit::redis::RedisServer;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::stage::{
    Gate, PATIENCE, Process, Running, Stage, TTL, begin_waiting, in_time, kind, until,
};

on_every_backend!(
    waiting_in_one_process_asks_the_storage_nothing,
    waiters_elsewhere_are_woken_long_before_they_would_poll,
    waiters_elsewhere_are_woken_by_a_release_too,
    lost_wakeups_cost_only_time,
    a_subscription_that_hangs_costs_only_time,
    waiters_get_the_failure_that_the_runner_had,
    a_waiter_whose_time_is_over_is_told_to_come_back,
    one_of_many_waiters_elsewhere_asks_for_all_of_its_process,
);

/// Makes calls that have to wait, in tasks; when this returns all of them [wait](Gate::waits).
async fn wait_in(
    process: &Process,
    stage: &Stage,
    key: &str,
    calls: usize,
) -> JoinSet<(bool, Instant)> {
    let gate = Gate::default();
    let mut waiting = JoinSet::new();
    for _ in 0..calls {
        let call = process
            .charge(key)
            .lease(TTL)
            .wait(PATIENCE)
            .run_with_outcome(stage.body(key, "other"));
        let gate = gate.clone();
        waiting
            .spawn(async move { (gate.waits(call).await.unwrap().is_replayed(), Instant::now()) });
    }
    for _ in 0..calls {
        gate.begun().await;
    }
    waiting
}

async fn waiting_in_one_process_asks_the_storage_nothing(stage: Stage) {
    let (process, elsewhere) = (stage.process().await, stage.process().await);
    let running = process.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    let waiting = wait_in(&process, &stage, "k", 64).await;
    // For as long as it takes another process, which has to ask, to ask several times.
    let asking = wait_in(&elsewhere, &stage, "k", 1).await;
    until("others have asked", || elsewhere.faults.calls(Verb::Claim) > 4).await;
    assert_eq!(running.finish().await.unwrap().value, "first");
    for waiting in [waiting, asking] {
        assert!(in_time(waiting.join_all()).await.into_iter().all(|(replayed, _)| replayed));
    }
    assert_eq!(process.faults.calls(Verb::Claim), 1);
    assert_eq!(process.faults.calls(Verb::Complete), 1);
    for unused in [Verb::Renew, Verb::Release, Verb::Load, Verb::Watch] {
        assert_eq!(process.faults.calls(unused), 0, "{unused:?}");
    }
}

/// So long after its first look the pauses between a waiter's polls are half a second and more.
const POLLS_ARE_RARE: Duration = Duration::from_millis(1_200);
/// So many that the median of them is not back this soon by chance, as polls would have it.
const WAITERS: usize = 9;
const SOON: Duration = Duration::from_millis(100);

/// Whether the median waiter of as many processes is back soon after `end`, in one of a few attempts: a machine may be busy for a while.
async fn assert_woken(stage: Stage, end: impl AsyncFn(Running)) {
    let runner = stage.process().await;
    let mut waiters = Vec::new();
    for _ in 0..WAITERS {
        waiters.push(stage.process().await);
    }
    let mut medians = Vec::new();
    while medians.len() < 8 {
        let key = format!("attempt {}", medians.len());
        let running = runner.begin(&stage, &key, "first", |op| op.lease(TTL)).await;
        let mut waiting = Vec::new();
        for process in &waiters {
            let asked = process.faults.calls(Verb::Claim);
            waiting.push(wait_in(process, &stage, &key, 1).await);
            until("it has looked again", || process.faults.calls(Verb::Claim) > asked + 1).await;
        }
        sleep(POLLS_ARE_RARE).await;
        let ended = Instant::now();
        end(running).await;
        let mut delays = Vec::new();
        for waiting in waiting {
            let returned = in_time(waiting.join_all()).await;
            delays.extend(returned.iter().map(|(_, at)| at.saturating_duration_since(ended)));
        }
        delays.sort();
        medians.push(delays[WAITERS / 2]);
        if delays[WAITERS / 2] < SOON {
            return;
        }
    }
    panic!("{medians:?}");
}

async fn waiters_elsewhere_are_woken_long_before_they_would_poll(stage: Stage) {
    let end = async |running: Running| {
        assert_eq!(running.finish().await.unwrap().value, "first");
    };
    assert_woken(stage, end).await;
}

async fn waiters_elsewhere_are_woken_by_a_release_too(stage: Stage) {
    assert_woken(stage, async |running: Running| running.cancel().await).await;
}

async fn lost_wakeups_cost_only_time(stage: Stage) {
    waiter_gets_the_result_in_spite_of(stage, Fault::Refuse).await;
}

async fn a_subscription_that_hangs_costs_only_time(stage: Stage) {
    waiter_gets_the_result_in_spite_of(stage, Fault::Hang).await;
}

async fn waiter_gets_the_result_in_spite_of(stage: Stage, fault: Fault) {
    let runner = stage.process().await;
    let running = runner.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    let waiter = stage.process().await;
    waiter.faults.always(Verb::Watch, fault);
    let waiting = wait_in(&waiter, &stage, "k", 1).await;
    until("it has subscribed", || waiter.faults.calls(Verb::Watch) > 0).await;
    assert_eq!(running.finish().await.unwrap().value, "first");
    let ended = Instant::now();
    let [(replayed, _)] = in_time(waiting.join_all()).await[..] else { panic!("one waiter") };
    assert!(replayed);
    assert!(ended.elapsed() < PATIENCE / 2, "it did not wait until the end of its patience");
    assert!(waiter.faults.calls(Verb::Claim) > 1, "it polled");
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn waiters_get_the_failure_that_the_runner_had(stage: Stage) {
    let (runner, elsewhere) = (stage.process().await, stage.process().await);
    let gate = Gate::default();
    let failing = tokio::spawn({
        let (gate, call) = (gate.clone(), runner.charge("k").lease(TTL));
        async move {
            let body = async {
                gate.pass().await;
                Err::<String, _>(Error::new(ErrorKind::Configuration, "declined"))
            };
            call.run(body).await
        }
    });
    gate.begun().await;
    let mut waiters = Vec::new();
    for process in [&runner, &elsewhere] {
        let call = process.charge("k").wait(PATIENCE).run(stage.body("k", "other"));
        waiters.push(begin_waiting(call).await);
    }
    elsewhere.waits_elsewhere().await;
    gate.open();
    assert_eq!(kind(in_time(failing).await.unwrap()), ErrorKind::Configuration);
    for waiter in waiters {
        let error = in_time(waiter).await.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PreviouslyFailed);
        assert_eq!(error.failure(), Some("declined"));
    }
    assert_eq!(stage.ledger.executions("k"), 0);
}

async fn a_waiter_whose_time_is_over_is_told_to_come_back(stage: Stage) {
    let runner = stage.process().await;
    let running = runner.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    for process in [&runner, &stage.process().await] {
        let wait = Duration::from_millis(100);
        let begun = Instant::now();
        let call = process.charge("k").wait(wait).run(stage.body("k", "other"));
        let error = in_time(call).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::AlreadyProcessing);
        assert!(begun.elapsed() >= wait);
        let retry_after = error.retry_after().unwrap();
        assert!(retry_after <= TTL && retry_after > TTL / 2, "{retry_after:?}");
    }
    assert_eq!(running.finish().await.unwrap().value, "first");
}

async fn one_of_many_waiters_elsewhere_asks_for_all_of_its_process(stage: Stage) {
    let (runner, elsewhere) = (stage.process().await, stage.process().await);
    let running = runner.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    let waiting = wait_in(&elsewhere, &stage, "k", 100).await;
    until("it has asked several times", || elsewhere.faults.calls(Verb::Claim) > 4).await;
    assert_eq!(running.finish().await.unwrap().value, "first");
    assert!(in_time(waiting.join_all()).await.into_iter().all(|(replayed, _)| replayed));
    let claims = elsewhere.faults.calls(Verb::Claim);
    assert!(claims < 50, "{claims} claims for 100 waiters");
    assert_eq!(elsewhere.faults.calls(Verb::Watch), 1);
}

/// Messages are lost with the connection that they come on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_that_breaks_in_redis_costs_only_time() {
    let redis = RedisServer::start();
    let stage = Stage::at(redis.url());
    let (runner, waiter) = (stage.process().await, stage.process().await);
    let running = runner.begin(&stage, "k", "first", |op| op.lease(TTL)).await;
    let waiting = wait_in(&waiter, &stage, "k", 1).await;
    let subscribed = || !redis.command(&["PUBSUB", "SHARDCHANNELS"]).is_empty();
    until("the waiter has subscribed", subscribed).await;
    redis.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    assert_eq!(running.finish().await.unwrap().value, "first");
    let [(replayed, _)] = in_time(waiting.join_all()).await[..] else { panic!("one waiter") };
    assert!(replayed);
}
