//! What the conformance suite does not ask of a SQLite storage.

use std::time::Duration;

use idem_runtime::storage::{Claim, Claimed, SqliteStorage, Storage, StorageErrorKind, Written};
use sqlx::AssertSqlSafe;

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
    let storage = SqliteStorage::builder().connections(1).connect(&url).await.unwrap();
    at_once(&storage, 100, async |storage| drop(run_once(&storage).await)).await;
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

/// What a later version wrote is kept for it, and is not called damage, on which an operator would throw it away.
#[tokio::test(flavor = "multi_thread")]
async fn algorithms_and_failures_of_later_versions_are_no_damage() {
    let (_dir, _, storage, direct) = database().await;
    for (later, kind) in [
        (
            "fingerprint = CAST(x'02' || substr(fingerprint, 2) AS BLOB)",
            StorageErrorKind::NewerVersion,
        ),
        ("status = 'failed', failure = 'later', message = NULL", StorageErrorKind::NewerVersion),
        ("fingerprint = substr(fingerprint, 1, 32)", StorageErrorKind::Corrupt),
        ("status = 'failed', failure = 'error', message = NULL", StorageErrorKind::Corrupt),
    ] {
        let claim = claim(&fresh_key());
        storage.claim(&claim).await.unwrap();
        storage.complete(&complete(&claim, "1")).await.unwrap();
        let change = format!("UPDATE idempotency_records SET {later} WHERE key = ?");
        let key = claim.key.as_str().to_owned();
        let changed = sqlx::query(AssertSqlSafe(change)).bind(key).execute(&direct).await.unwrap();
        assert_eq!(changed.rows_affected(), 1);
        assert_eq!(storage.load(&claim.key).await.unwrap_err().kind(), kind, "{later}");
        assert_eq!(storage.claim(&claim).await.unwrap_err().kind(), kind, "{later}");
    }
}
