//! What the conformance suite does not ask of a SQLite storage.

use std::time::Duration;

use futures_util::future::join;
use idem_runtime::storage::{
    Claim, Claimed, Release, SqliteStorage, Storage, StorageErrorKind, Written,
};
use sqlx::sqlite::SqlitePoolOptions;

use super::super::{at_once, claim, complete, fresh_key, run_once};
use super::database;

#[tokio::test]
async fn replay_writes_nothing() {
    let (_dir, _, storage, direct) = database().await;
    let done = run_once(&storage).await;
    let mut connection = direct.acquire().await.unwrap();
    let mut version = async || {
        // It changes with every commit of another connection.
        let version: i64 =
            sqlx::query_scalar("PRAGMA data_version").fetch_one(&mut *connection).await.unwrap();
        version
    };
    let before = version().await;
    for _ in 0..20 {
        let answer = storage.claim(&claim(&done.key)).await.unwrap();
        assert!(matches!(answer, Claimed::Replay(_)), "{answer:?}");
    }
    assert_eq!(version().await, before);
    run_once(&storage).await;
    assert_ne!(version().await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough() {
    let (_dir, url, _, _) = database().await;
    let pool = SqlitePoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let storage = SqliteStorage::new(pool);
    at_once(&storage, 100, async |storage| drop(run_once(&storage).await)).await;
}

#[tokio::test]
async fn pool_without_a_free_connection_says_so_and_nothing_is_lost() {
    let (_dir, url, _, _) = database().await;
    let options = SqlitePoolOptions::new().max_connections(1);
    let pool = options.acquire_timeout(Duration::from_secs(3)).connect(&url).await.unwrap();
    let storage = SqliteStorage::new(pool.clone());
    let claim = claim(&fresh_key());
    let taken = pool.acquire().await.unwrap();
    let error = storage.claim(&claim).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error:?}");
    assert!(error.to_string().contains("no connection of the sqlite pool"), "{error}");
    drop(taken);
    assert!(matches!(storage.claim(&claim).await.unwrap(), Claimed::Acquired { .. }));
}

#[tokio::test]
async fn what_was_written_is_told_though_nobody_can_say_what_became_of_another_of_its_batch() {
    let (_dir, url, _, _) = database().await;
    let options = SqlitePoolOptions::new().max_connections(1);
    let pool = options.acquire_timeout(Duration::from_millis(500)).connect(&url).await.unwrap();
    let storage = SqliteStorage::new(pool.clone());
    let (own, foreign) = (claim(&fresh_key()), claim(&fresh_key()));
    assert!(matches!(storage.claim(&own).await, Ok(Claimed::Acquired { .. })));
    let release = |claim: &Claim| Release { key: claim.key.clone(), owner: claim.owner };
    let (own, foreign) = (release(&own), release(&foreign));

    // The batch is next to get the connection, and then one that keeps it, so that the look after the write does not.
    let taken = pool.acquire().await.unwrap();
    let both =
        tokio::spawn(async move { join(storage.release(&own), storage.release(&foreign)).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    let keeper = tokio::spawn(async move { pool.acquire().await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    drop(taken);
    let kept = keeper.await.unwrap().unwrap();
    let (released, unknown) = both.await.unwrap();
    drop(kept);
    assert_eq!(released.unwrap(), Written::Done);
    assert_eq!(unknown.unwrap_err().kind(), StorageErrorKind::NotApplied);
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_of_every_length_are_answered_each() {
    let storage = SqliteStorage::connect("sqlite::memory:").await.unwrap();
    for count in [1, 2, 3, 7, 64, 65, 300, 600] {
        at_once(&storage, count, async |storage| drop(run_once(&storage).await)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_callers_leave_nothing_behind() {
    let (_dir, _, storage, _) = database().await;
    let claims: Vec<Claim> = at_once(&storage, 1000, |storage| async move {
        let claim = claim(&fresh_key());
        let patience = Duration::from_micros(u64::from(claim.owner.to_bytes()[0]) * 40);
        let _ = tokio::time::timeout(patience, storage.claim(&claim)).await;
        claim
    })
    .await;
    // Whatever became of it, the owner can go on, and nobody holds the write lock.
    for claim in claims.iter().step_by(50) {
        let answer = storage.claim(claim).await.unwrap();
        assert!(matches!(answer, Claimed::Acquired { .. }), "{answer:?}");
        assert_eq!(storage.complete(&complete(claim, "1")).await.unwrap(), Written::Done);
    }
}
