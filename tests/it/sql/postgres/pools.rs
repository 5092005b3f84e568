//! Storages with one connection, and callers that go away.

use std::time::Duration;

use idem_runtime::storage::{Claim, Claimed, PostgresStorage, Storage, Written};
use sqlx::PgPool;

use super::super::{at_once, claim, complete, fresh_key, run_once};
use super::database;
use crate::stage::in_time;

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_is_enough() {
    let (url, _, _) = database().await;
    let storage = PostgresStorage::builder().connections(1).connect(&url).await.unwrap();
    at_once(&storage, 100, async |storage| drop(run_once(&storage).await)).await;
}

/// Sessions of this database that are in a transaction and do nothing.
async fn idle_in_transaction(direct: &PgPool) -> i64 {
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'";
    sqlx::query_scalar(open).fetch_one(direct).await.unwrap()
}

/// A moment in which a call is somewhere on its way.
fn moment() -> Duration {
    Duration::from_micros(u64::from(uuid::Uuid::new_v4().as_bytes()[0]) * 40)
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_callers_leave_nothing_behind() {
    let (_, storage, direct) = database().await;
    let claims: Vec<Claim> = at_once(&storage, 1000, |storage| async move {
        let claim = claim(&fresh_key());
        let _ = tokio::time::timeout(moment(), storage.claim(&claim)).await;
        claim
    })
    .await;
    // Whatever became of it, the owner can go on.
    for claim in claims.iter().step_by(50) {
        let answer = storage.claim(claim).await.unwrap();
        assert!(matches!(answer, Claimed::Acquired { .. }), "{answer:?}");
        assert_eq!(storage.complete(&complete(claim, "1")).await.unwrap(), Written::Done);
    }
    assert_eq!(idle_in_transaction(&direct).await, 0);
}

/// Reads go on without their caller, who may go away between the statements of a transaction.
#[tokio::test(flavor = "multi_thread")]
async fn cancelled_readers_leave_no_transaction_open() {
    let (url, _, direct) = database().await;
    for prepared in [true, false] {
        let builder = PostgresStorage::builder().prepared_statements(prepared);
        // One connection, so that whoever comes next meets what the last one left.
        let storage = builder.connections(1).connect(&url).await.unwrap();
        let done = run_once(&storage).await;
        for micros in (0..1000).map(|number| number * 4) {
            let load = storage.load(&done.key);
            let _ = tokio::time::timeout(Duration::from_micros(micros), load).await;
            // A connection that was given back is closed, or ended in order, in the background.
            in_time(async { while idle_in_transaction(&direct).await > 0 {} }).await;
        }
        assert!(storage.load(&done.key).await.unwrap().is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_need_not_be_prepared_by_name() {
    let (_, _, direct) = database().await;
    let builder = PostgresStorage::builder().prepared_statements(false);
    let storage = builder.build(direct).unwrap();
    at_once(&storage, 50, async |storage| drop(run_once(&storage).await)).await;
    let done = run_once(&storage).await;
    assert!(matches!(storage.claim(&claim(&done.key)).await.unwrap(), Claimed::Replay(_)));
}
