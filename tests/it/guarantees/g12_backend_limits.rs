//! G12: each backend keeps what it says it keeps, and what it can lose is documented and told.

use std::time::Duration;

use idem_runtime::clock::ManualClock;
use idem_runtime::storage::{MemoryStorage, RedisStorage, Storage};
use idem_runtime::{Error, ErrorKind, Idempotency, Source};
use testkit::redis::RedisServer;

use crate::stage::{Stage, in_time};

async fn value(idem: &Idempotency, key: &str, value: u32) -> Result<u32, Error> {
    idem.operation("charge").key(key).run(async { Ok::<_, Error>(value) }).await
}

#[tokio::test]
async fn full_memory_refuses_new_keys_and_forgets_none() {
    let idem = Idempotency::new(MemoryStorage::with_capacity(2)).unwrap();
    value(&idem, "a", 1).await.unwrap();
    value(&idem, "b", 2).await.unwrap();
    let error = value(&idem, "c", 3).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert!(!error.is_retryable());
    assert_eq!(value(&idem, "a", 0).await.unwrap(), 1);
    assert_eq!(value(&idem, "b", 0).await.unwrap(), 2);
    assert_eq!(idem.in_flight(), 0);
}

#[tokio::test]
async fn memory_forgets_expired_records_when_it_is_purged_and_not_more_than_asked() {
    let clock = ManualClock::new();
    let storage = MemoryStorage::with_clock(clock.clone());
    let idem = Idempotency::new(storage.clone()).unwrap();
    for key in 0..1000 {
        value(&idem, &key.to_string(), key).await.unwrap();
    }
    clock.advance(Duration::from_secs(25 * 60 * 60));
    assert_eq!(storage.purge(300).await.unwrap(), 300);
    assert_eq!(storage.purge(usize::MAX).await.unwrap(), 700);
    assert!(storage.is_empty());
    assert_eq!(value(&idem, "0", 7).await.unwrap(), 7);
}

#[tokio::test]
async fn memory_is_lost_with_its_handle_and_shared_with_its_clones() {
    let storage = MemoryStorage::new();
    let one = Idempotency::new(storage.clone()).unwrap();
    value(&one, "k", 1).await.unwrap();
    drop(one);
    assert_eq!(value(&Idempotency::new(storage).unwrap(), "k", 2).await.unwrap(), 1);
    assert_eq!(value(&Idempotency::memory(), "k", 2).await.unwrap(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_syncs_every_write_keeps_results_and_locks_over_a_crash() {
    let mut redis = RedisServer::builder().append_only("always").start();
    let stage = Stage::at(redis.url());
    let process = stage.process().await;
    process.charge("done").run(stage.body("done", "first")).await.unwrap();
    let lease = Duration::from_secs(600);
    let running = process.begin(&stage, "running", "first", |op| op.lease(lease)).await;
    redis.kill();
    redis.start_again();
    let other = stage.process().await;
    let replay =
        in_time(other.charge("done").run_with_outcome(stage.body("done", "other"))).await.unwrap();
    assert_eq!((replay.value.as_str(), replay.is_replayed()), ("first", true));
    let rival = other.charge("running").run(stage.body("running", "other"));
    assert_eq!(in_time(rival).await.unwrap_err().kind(), ErrorKind::AlreadyProcessing);
    let outcome = running.finish().await.unwrap();
    assert_eq!(outcome.source, Source::Executed { recovered: false });
}

/// What it loses without persistence, so that nobody is surprised: everything.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_without_persistence_forgets_with_a_restart_and_says_so_at_the_start() {
    let mut redis = RedisServer::start();
    let storage = RedisStorage::connect(redis.url()).await.unwrap();
    let warnings = format!("{:?}", storage.warnings().await.unwrap());
    assert!(warnings.contains("a restart forgets every record"), "{warnings}");
    let stage = Stage::at(redis.url());
    stage.process().await.charge("k").run(stage.body("k", "first")).await.unwrap();
    redis.kill();
    redis.start_again();
    let again = stage.process().await.charge("k").run(stage.body("k", "second")).await.unwrap();
    assert_eq!(again, "second");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_evicts_says_so_at_the_start() {
    let redis = RedisServer::builder()
        .append_only("always")
        .max_memory("100mb")
        .config("maxmemory-policy", "allkeys-lru")
        .start();
    let storage = RedisStorage::connect(redis.url()).await.unwrap();
    let warnings = format!("{:?}", storage.warnings().await.unwrap());
    assert!(warnings.contains("a full server forgets records"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_that_keeps_everything_gets_no_warning() {
    let redis = RedisServer::builder().append_only("always").start();
    let storage = RedisStorage::connect(redis.url()).await.unwrap();
    assert_eq!(storage.warnings().await.unwrap(), []);
}
