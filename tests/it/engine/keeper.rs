//! Heartbeats: batched, only where needed, on whatever runtime the handle is used from.

use std::time::Duration;

use idem_runtime::testing::Verb;
use idem_runtime::{Error, ErrorKind, Source};
use testkit::redis::RedisServer;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::stage::{Gate, KEPT, Process, Stage, TTL, in_time, kind};

on_every_backend!(
    many_leases_are_renewed_in_few_batches,
    short_calls_cause_no_renewals,
    leases_of_different_lengths_are_all_kept_up,
    a_lease_shorter_than_the_keeper_expected_is_kept_up,
);

async fn many_leases_are_renewed_in_few_batches(stage: Stage) {
    let process = stage.process().await;
    let gate = Gate::default();
    let mut calls = JoinSet::new();
    let lease = KEPT;
    for number in 0..200 {
        let (process, stage, gate) = (process.clone(), stage.clone(), gate.clone());
        calls.spawn(async move {
            let key = number.to_string();
            process
                .charge(&key)
                .lease(lease)
                .run_with_outcome(stage.gated(&key, "", &gate))
                .await
                .unwrap()
        });
    }
    for _ in 0..200 {
        gate.begun().await;
    }
    let before = process.faults.calls(Verb::Renew);
    sleep(lease * 2).await;
    let batches = process.faults.calls(Verb::Renew) - before;
    // Six rounds; on a busy machine some of them in several pieces. One by one it would be 1,200.
    assert!((3..200).contains(&batches), "{batches}");
    let other = stage.process().await;
    for key in ["0", "73", "199"] {
        let rival = other.charge(key).run(stage.body(key, ""));
        assert_eq!(kind(rival.await), ErrorKind::AlreadyProcessing);
    }
    gate.open();
    for outcome in in_time(calls.join_all()).await {
        assert_eq!(outcome.source, Source::Executed { recovered: false });
    }
}

async fn short_calls_cause_no_renewals(stage: Stage) {
    let process = stage.process().await;
    for number in 0..50 {
        let key = number.to_string();
        let lease = Duration::from_secs(10);
        process.charge(&key).lease(lease).run(stage.body(&key, "")).await.unwrap();
        let replay =
            process.charge(&key).lease(lease).run_with_outcome(stage.body(&key, "")).await.unwrap();
        assert!(replay.is_replayed());
    }
    assert_eq!(process.faults.calls(Verb::Claim), 100);
    assert_eq!(process.faults.calls(Verb::Complete), 50);
    for unused in [Verb::Renew, Verb::Release, Verb::Load, Verb::Watch] {
        assert_eq!(process.faults.calls(unused), 0, "{unused:?}");
    }
}

/// What the server counts, since a verb could take several commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fresh_call_is_two_commands_in_redis_and_a_replay_one() {
    let redis = RedisServer::start();
    let stage = Stage::at(redis.url());
    let process = stage.process().await;
    process.charge("warm").run(stage.body("warm", "")).await.unwrap();
    redis.command(&["CONFIG", "RESETSTAT"]);
    for number in 0..50 {
        let key = (number % 25).to_string();
        process.charge(&key).lease(TTL).run(stage.body(&key, "")).await.unwrap();
    }
    let stats = redis.info("commandstats");
    let calls = |command: &str| {
        let stat = stats.get(&format!("cmdstat_{command}")).map_or("", String::as_str);
        stat.split([',', '=']).nth(1).unwrap_or("0").to_owned()
    };
    assert_eq!((calls("set"), calls("evalsha")), ("50".to_owned(), "25".to_owned()));
    for unused in ["eval", "fcall", "subscribe", "ssubscribe", "hello", "ping"] {
        assert_eq!(calls(unused), "0", "{unused}: {stats:?}");
    }
}

async fn leases_of_different_lengths_are_all_kept_up(stage: Stage) {
    let process = stage.process().await;
    let mut running = Vec::new();
    for lease in [KEPT * 2, KEPT, KEPT * 3 / 2] {
        let key = lease.as_millis().to_string();
        let call = process.begin(&stage, &key, "first", |op| op.lease(lease)).await;
        running.push((key, call));
    }
    sleep(KEPT * 5 / 2).await;
    let other = stage.process().await;
    for (key, call) in running {
        let rival = other.charge(&key).run(stage.body(&key, "second"));
        assert_eq!(kind(rival.await), ErrorKind::AlreadyProcessing, "{key}");
        assert_eq!(call.finish().await.unwrap().source, Source::Executed { recovered: false });
    }
}

/// The keeper sleeps long because of the first lease and has to be woken for the second.
async fn a_lease_shorter_than_the_keeper_expected_is_kept_up(stage: Stage) {
    let process = stage.process().await;
    let hour = Duration::from_secs(60 * 60);
    let long = process.begin(&stage, "long", "first", |op| op.lease(hour).ttl(hour)).await;
    let short = process.begin(&stage, "short", "first", |op| op.lease(KEPT)).await;
    sleep(KEPT * 2).await;
    let rival = stage.process().await.charge("short").run(stage.body("short", "second"));
    assert_eq!(kind(rival.await), ErrorKind::AlreadyProcessing);
    for call in [long, short] {
        assert_eq!(call.finish().await.unwrap().source, Source::Executed { recovered: false });
    }
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// A body that is longer than its lease, and a rival that must not get the key.
async fn long_body_keeps_its_lease(stage: &Stage, process: &Process, rival: &Process, key: &str) {
    let running = process.begin(stage, key, "first", |op| op.lease(KEPT)).await;
    sleep(KEPT * 3 / 2).await;
    let rival = rival.charge(key).run(stage.body(key, "second"));
    assert_eq!(kind(rival.await), ErrorKind::AlreadyProcessing);
    assert_eq!(running.finish().await.unwrap().source, Source::Executed { recovered: false });
}

#[test]
fn a_handle_used_from_several_runtimes_in_turn_keeps_its_leases_on_each() {
    let stage = Stage::on_memory();
    let first = runtime();
    let (process, rival) = first.block_on(async { (stage.process().await, stage.process().await) });
    first.block_on(long_body_keeps_its_lease(&stage, &process, &rival, "1"));
    first.shutdown_background();
    for key in ["2", "3"] {
        runtime().block_on(long_body_keeps_its_lease(&stage, &process, &rival, key));
    }
}

/// A runtime that ends in the middle of a call drops the call: a crash that was seen.
#[test]
fn a_runtime_that_is_shut_down_frees_the_keys_of_its_calls() {
    let stage = Stage::on_memory();
    let ending = runtime();
    let process = ending.block_on(async {
        let process = stage.process().await;
        let running = process.begin(&stage, "k", "dropped", |op| {
            op.lease(Duration::from_secs(300)).ttl(Duration::from_secs(300))
        });
        std::mem::forget(running.await);
        process
    });
    ending.shutdown_timeout(Duration::from_secs(10));
    assert_eq!(process.idem.in_flight(), 0);
    let body = async { Ok::<_, Error>("second".to_owned()) };
    assert_eq!(runtime().block_on(process.charge("k").run(body)).unwrap(), "second");
}
