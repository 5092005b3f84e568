//! Calls that are given up at any moment, and pools that have no connection to spare.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::{Error, Idempotency};
use parking_lot::Mutex;
use sqlx::SqlitePool;
use tokio::task::JoinSet;

use super::app_pool::AppPool;
use super::own::{Database, Kind, on_every_database};
use crate::stage::{PATIENCE, in_time, until};

on_every_database!(
    a_thousand_calls_that_are_given_up_leave_nothing_open_and_lose_nothing,
    a_thousand_begins_that_are_given_up_swallow_no_record,
    one_connection_serves_the_storage_and_its_bodies,
    a_pool_that_is_used_up_keeps_no_call_waiting,
);

/// How often the body of each key has come to its end.
type Ended = Arc<Mutex<HashMap<String, usize>>>;

/// A body that is not done at once.
async fn body(key: String, ended: Ended) -> Result<String, Error> {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..2_000))).await;
    *ended.lock().entry(key.clone()).or_default() += 1;
    Ok(key)
}

async fn a_thousand_calls_that_are_given_up_leave_nothing_open_and_lose_nothing(kind: Kind) {
    const CALLS: usize = 1_000;
    let database = Database::migrated(kind).await;
    let idem = database.handle().await;
    let ended = Ended::default();
    let key = |number: usize| format!("given-up-{number}");
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        if calls.len() == 50 {
            calls.join_next().await.unwrap().unwrap();
        }
        let call = idem.operation("charge").key(key(number)).run(body(key(number), ended.clone()));
        calls.spawn(async move {
            let patience = Duration::from_micros(fastrand::u64(..12_000));
            let _ = tokio::time::timeout(patience, call).await;
        });
    }
    calls.join_all().await;
    until("what was given up has been settled", || idem.in_flight() == 0).await;
    // Others find every key settled or free. What had come to its end is not run again.
    let other = database.handle().await;
    for number in 0..CALLS {
        let call = other.operation("charge").key(key(number)).wait(PATIENCE);
        let value = in_time(call.run(body(key(number), ended.clone()))).await.unwrap();
        assert_eq!(value, key(number));
    }
    let ended = ended.lock().clone();
    assert_eq!(ended.len(), CALLS);
    assert!(ended.values().all(|times| *times == 1), "{ended:?}");
    assert_eq!(database.rows().await, i64::try_from(CALLS).unwrap());
    nothing_is_open(&database).await;
}

/// A `begin` that is given up may leave its connection inside a transaction (sqlx 0.9.0). The storage has connections of its own.
async fn a_thousand_begins_that_are_given_up_swallow_no_record(kind: Kind) {
    let database = Database::migrated(kind).await;
    let pool = AppPool::connect(&database, 1).await;
    let (idem, other) = (pool.handle(), database.handle().await);
    let ended = Ended::default();
    for number in 0..1_000 {
        let key = format!("begun-{number}");
        let call = |idem: &Idempotency| {
            in_time(
                idem.operation("charge")
                    .key(key.as_str())
                    .run_with_outcome(body(key.clone(), ended.clone())),
            )
        };
        pool.give_up_beginning(Duration::from_micros(fastrand::u64(..600))).await;
        assert!(!call(&idem).await.unwrap().is_replayed());
        assert!(call(&other).await.unwrap().is_replayed(), "{key} is recorded nowhere");
    }
    nothing_is_open(&database).await;
}

/// No session of the database is inside a transaction, or will be.
async fn nothing_is_open(database: &Database) {
    let open = match database.kind {
        Kind::Postgres => {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        }
        Kind::MySql => {
            "SELECT count(*) FROM information_schema.innodb_trx AS t
             JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE()"
        }
        Kind::Sqlite => {
            let pool = SqlitePool::connect(&database.url).await.unwrap();
            // It empties the file of the log only where nobody reads or writes.
            let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
                .fetch_one(&pool)
                .await
                .unwrap();
            assert_eq!(busy, 0, "somebody is inside a transaction");
            return;
        }
    };
    let closed = async {
        while database.run(open).await != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(closed).await;
}

async fn one_connection_serves_the_storage_and_its_bodies(kind: Kind) {
    let database = Database::migrated(kind).await;
    let pool = AppPool::connect(&database, 1).await;
    let idem = pool.handle();
    let mut calls = JoinSet::new();
    for number in 0..200_usize {
        let (idem, pool) = (idem.clone(), pool.clone());
        calls.spawn(async move {
            let body = async { Ok::<_, Error>(pool.hold(async { number % 50 }).await) };
            // Each key comes four times.
            let call = idem.operation("charge").key((number % 50).to_string()).wait(PATIENCE);
            in_time(call.run(body)).await.unwrap() == number % 50
        });
    }
    assert!(calls.join_all().await.into_iter().all(|right| right));
    assert_eq!(database.rows().await, 50);
}

async fn a_pool_that_is_used_up_keeps_no_call_waiting(kind: Kind) {
    let database = Database::migrated(kind).await;
    let pool = AppPool::connect(&database, 1).await;
    let idem = pool.handle();
    let call = || idem.operation("charge").key("k").run_with_outcome(async { Ok::<_, Error>(7) });
    for is_replayed in [false, true] {
        let outcome = pool.hold(in_time(call())).await.unwrap();
        assert_eq!((outcome.value, outcome.is_replayed()), (7, is_replayed));
    }
}
