//! What the conformance suite does not ask of a Postgres storage.

use std::time::Duration;

use idem_runtime::key::RecordKey;
use idem_runtime::storage::{Claim, Claimed, PostgresStorage, Storage, StorageErrorKind, Written};
use testkit::proxy::FaultProxy;
use testkit::sql::{Product, SqlServer};
use tokio_util::sync::CancellationToken;

use super::super::{at_once, claim, complete, fresh_key, run_once};
use super::database;
use crate::stage::{in_time, until};

#[tokio::test]
async fn replay_writes_nothing_and_locks_nothing() {
    let (_, storage, direct) = database().await;
    let done = run_once(&storage).await;
    // A row that was locked or written has another `xmax` or another place.
    let row = "SELECT ctid::text || ' ' || xmin::text || ' ' || xmax::text FROM idempotency_records WHERE key = $1";
    let look = async || {
        let row = sqlx::query_scalar(row).bind(done.key.as_str());
        let row: String = row.fetch_one(&direct).await.unwrap();
        row
    };
    let before = look().await;
    let replays = at_once(&storage, 20, |storage| {
        let again = claim(&done.key);
        async move { storage.claim(&again).await.unwrap() }
    });
    assert!(replays.await.iter().all(|answer| matches!(answer, Claimed::Replay(_))));
    assert_eq!(look().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_verbs_share_statements() {
    let server = SqlServer::start(Product::Postgres);
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let storage = PostgresStorage::connect(proxy.before(&server.url())).await.unwrap();
    storage.migrate().await.unwrap();
    let count = 200;
    at_once(&storage, count, async |storage| drop(run_once(&storage).await)).await;
    let before = proxy.counts().requests;
    at_once(&storage, count, async |storage| drop(run_once(&storage).await)).await;
    let requests = proxy.counts().requests - before;
    // One by one they would be two statements a call, and a ping after each.
    assert!(requests < count, "{requests} requests for {count} calls");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_verb_does_not_fail_the_others_of_its_batch() {
    let (_, storage, _) = database().await;
    let answers = at_once(&storage, 100, |storage| {
        let number = random_byte();
        async move {
            let mut claim = claim(&fresh_key());
            if number < 64 {
                // Text that Postgres does not take; no `Key` has it.
                claim.key = RecordKey::from_stored(format!("{}\0", claim.key.as_str()));
            }
            (number < 64, storage.claim(&claim).await)
        }
    });
    for (refused, answer) in answers.await {
        match answer {
            Ok(answer) => assert!(!refused && matches!(answer, Claimed::Acquired { .. })),
            Err(error) => assert!(refused && error.kind() == StorageErrorKind::Configuration),
        }
    }
}

fn random_byte() -> u8 {
    uuid::Uuid::new_v4().as_bytes()[0]
}

#[tokio::test(flavor = "multi_thread")]
async fn locked_record_holds_nobody_else_up() {
    let (_, storage, direct) = database().await;
    let locked = claim(&fresh_key());
    storage.claim(&locked).await.unwrap();
    let mut transaction = direct.begin().await.unwrap();
    let lock = sqlx::query("SELECT 1 FROM idempotency_records WHERE key = $1 FOR UPDATE");
    lock.bind(locked.key.as_str()).execute(&mut *transaction).await.unwrap();
    let waiting = {
        let (storage, locked) = (storage.clone(), locked.clone());
        tokio::spawn(async move { storage.complete(&complete(&locked, "1")).await })
    };
    // Those that share its statement wait with it.
    let blocked = "SELECT count(*) FROM pg_stat_activity
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let is_blocked = async || {
        let blocked: i64 = sqlx::query_scalar(blocked).fetch_one(&direct).await.unwrap();
        blocked > 0
    };
    in_time(async { while !is_blocked().await {} }).await;
    in_time(at_once(&storage, 50, async |storage| drop(run_once(&storage).await))).await;
    assert!(!waiting.is_finished());
    transaction.rollback().await.unwrap();
    assert_eq!(in_time(waiting).await.unwrap().unwrap(), Written::Done);
}

#[tokio::test]
async fn janitor_removes_what_has_expired_until_it_is_stopped() {
    let (_, storage, direct) = database().await;
    let kept = run_once(&storage).await;
    let short = Claim { lease: Duration::ZERO, ttl: Duration::ZERO, ..claim(&fresh_key()) };
    storage.claim(&short).await.unwrap();
    let stop = CancellationToken::new();
    let janitor = storage.spawn_janitor(Duration::from_millis(20), stop.clone());
    let rows = async || {
        let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_records")
            .fetch_one(&direct)
            .await
            .unwrap();
        rows
    };
    while rows().await > 1 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(storage.load(&kept.key).await.unwrap().is_some());
    stop.cancel();
    until("the janitor has stopped", || janitor.is_finished()).await;
}
