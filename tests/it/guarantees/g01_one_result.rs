//! G1: per namespace, tenant and key at most one committed result within its retention.

use std::time::Duration;

use idem_runtime::record::{Finished, Record, State};
use idem_runtime::{Outcome, Source};
use idem_tests::{Body, Ended};
use tokio::task::JoinSet;

use crate::stage::{GRAIN, PATIENCE, Process, Stage, TTL, in_time, until};
use crate::worker::Worker;

on_every_backend!(
    two_hundred_duplicates_in_one_process_run_once,
    two_hundred_duplicates_in_eight_processes_run_once,
    every_later_call_gets_the_first_result,
    a_result_is_kept_for_its_ttl_and_not_longer,
    retention_counts_from_completion,
    a_replay_does_not_prolong_retention,
    different_keys_run_side_by_side,
);

on_every_shared_backend!(two_hundred_duplicates_of_eight_system_processes_run_once);

/// Makes `calls` calls at once in each process; the body takes longer than all of them need to arrive.
async fn stampede(stage: &Stage, processes: &[Process], calls: usize) -> Vec<Outcome<String>> {
    let mut running = JoinSet::new();
    for (process, number) in
        processes.iter().flat_map(|process| (0..calls).map(move |n| (process, n)))
    {
        let (process, stage) = (process.clone(), stage.clone());
        running.spawn(async move {
            let body = async {
                let run = stage.ledger.start("k", "");
                tokio::time::sleep(Duration::from_millis(100)).await;
                run.finish("");
                Ok::<_, idem_runtime::Error>(format!("call {number}"))
            };
            process.charge("k").lease(TTL).wait(PATIENCE).run_with_outcome(body).await.unwrap()
        });
    }
    in_time(running.join_all()).await
}

fn assert_one_executed(outcomes: &[Outcome<String>]) {
    let executed: Vec<_> = outcomes.iter().filter(|outcome| !outcome.is_replayed()).collect();
    assert_eq!(executed.len(), 1, "{executed:?}");
    assert_eq!(executed[0].source, Source::Executed { recovered: false });
    assert!(outcomes.iter().all(|outcome| outcome.value == executed[0].value));
}

async fn two_hundred_duplicates_in_one_process_run_once(stage: Stage) {
    let process = stage.process().await;
    let outcomes = stampede(&stage, std::slice::from_ref(&process), 200).await;
    assert_eq!(outcomes.len(), 200);
    assert_one_executed(&outcomes);
    assert_eq!(stage.ledger.executions("k"), 1);
    assert_eq!(process.idem.in_flight(), 0);
}

async fn two_hundred_duplicates_in_eight_processes_run_once(stage: Stage) {
    let mut processes = Vec::new();
    for _ in 0..8 {
        processes.push(stage.process().await);
    }
    let outcomes = stampede(&stage, &processes, 25).await;
    assert_eq!(outcomes.len(), 200);
    assert_one_executed(&outcomes);
    assert_eq!(stage.ledger.executions("k"), 1);
}

/// The same with processes that really are some.
fn two_hundred_duplicates_of_eight_system_processes_run_once(stage: &Stage) {
    let mut job = stage.job("k", "");
    job.calls = 25;
    job.lease = TTL;
    job.body = Body::Sleeps(Duration::from_millis(100));
    let mut workers: Vec<_> = (0..8)
        .map(|number| {
            job.value = format!("worker {number}");
            Worker::start(&job)
        })
        .collect();
    workers.iter_mut().for_each(Worker::go);
    let ended: Vec<_> = workers.iter().flat_map(|worker| worker.ended(25)).collect();
    let executed: Vec<_> =
        ended.iter().filter(|ended| !matches!(ended, Ended::Replayed { .. })).collect();
    let [Ended::Executed { value, recovered: false }] = executed[..] else {
        panic!("{executed:?}")
    };
    let replayed = Ended::Replayed { value: value.clone() };
    assert_eq!(ended.iter().filter(|ended| **ended == replayed).count(), 199);
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn every_later_call_gets_the_first_result(stage: Stage) {
    let (one, two) = (stage.process().await, stage.process().await);
    let first = one.charge("k").run_with_outcome(stage.body("k", "first")).await.unwrap();
    assert_eq!(first.source, Source::Executed { recovered: false });
    for process in [&one, &two] {
        let later = process.charge("k").run_with_outcome(stage.body("k", "later")).await.unwrap();
        assert_eq!(later.value, "first");
        assert!(later.is_replayed());
    }
    assert_eq!(stage.ledger.executions("k"), 1);
}

async fn a_result_is_kept_for_its_ttl_and_not_longer(stage: Stage) {
    let process = stage.process().await;
    let ttl = Duration::from_millis(400);
    let call = |value| {
        let lease = Duration::from_millis(100);
        process.charge("k").lease(lease).ttl(ttl).run_with_outcome(stage.body("k", value))
    };
    let begun = tokio::time::Instant::now();
    assert_eq!(call("first").await.unwrap().value, "first");
    assert_kept_for(ttl, stage.record("k").await.as_ref());
    let again = call("second").await.unwrap();
    // A busy machine may have been slower than the ttl.
    assert!(again.is_replayed() || begun.elapsed() + GRAIN >= ttl);
    let storage = stage.storage().await;
    until_gone(&stage, &storage).await;
    assert!(begun.elapsed() + GRAIN >= ttl);
    assert_eq!(call("third").await.unwrap().value, "third");
}

/// By the storage's clock, so that it does not matter how busy the machine is.
fn assert_kept_for(ttl: Duration, record: Option<&Record>) {
    // It may be gone already.
    let Some(record) = record else { return };
    let State::Finished(Finished { at, .. }) = record.state else { panic!("{record:?}") };
    let kept = record.expires_at.as_millis() - at.as_millis();
    assert!(u128::from(kept).abs_diff(ttl.as_millis()) <= 5, "{kept} ms");
}

async fn until_gone(stage: &Stage, storage: &idem_runtime::storage::SharedStorage) {
    use idem_runtime::storage::Storage;
    let key = stage.record_key("k");
    let gone = async {
        while storage.load(&key).await.unwrap().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time(gone).await;
}

async fn retention_counts_from_completion(stage: Stage) {
    let process = stage.process().await;
    let ttl = Duration::from_millis(700);
    let lease = Duration::from_millis(300);
    let running = process.begin(&stage, "k", "first", |op| op.lease(lease).ttl(ttl)).await;
    tokio::time::sleep(ttl + lease * 2).await;
    let completing = tokio::time::Instant::now();
    assert_eq!(running.finish().await.unwrap().value, "first");
    assert_kept_for(ttl, stage.record("k").await.as_ref());
    let storage = stage.storage().await;
    until_gone(&stage, &storage).await;
    assert!(completing.elapsed() + GRAIN >= ttl, "{:?}", completing.elapsed());
}

async fn a_replay_does_not_prolong_retention(stage: Stage) {
    let process = stage.process().await;
    process.charge("k").run(stage.body("k", "first")).await.unwrap();
    // Longer than what a record's time may be read too early or too late by.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(
        process.charge("k").run_with_outcome(stage.body("k", "again")).await.unwrap().is_replayed()
    );
    let record = stage.record("k").await;
    assert!(record.is_some());
    assert_kept_for(TTL, record.as_ref());
}

async fn different_keys_run_side_by_side(stage: Stage) {
    let process = stage.process().await;
    let one = process.begin(&stage, "one", "1", |op| op).await;
    let two = process.begin(&stage, "two", "2", |op| op).await;
    until("both run", || process.idem.in_flight() == 2).await;
    assert_eq!(one.finish().await.unwrap().value, "1");
    assert_eq!(two.finish().await.unwrap().value, "2");
}
