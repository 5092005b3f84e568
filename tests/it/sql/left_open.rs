//! What others leave on the connections of the application's pool is nothing to the storage.

use std::sync::atomic::{AtomicUsize, Ordering};

use idem_runtime::storage::PostgresStorage;
use idem_runtime::{Error, Idempotency};

use super::app_pool::AppPool;
use super::own::{Database, Kind, on_every_database};
use crate::stage::in_time;

on_every_database!(
    transactions_that_others_left_open_change_nothing,
    aborted_transactions_that_others_left_change_nothing,
);

const SIZE: u32 = 3;

/// Calls that run once each, are seen elsewhere, and are replayed, with a pool that was left like this each time.
async fn nothing_is_lost(idem: Idempotency, other: Idempotency, pool: &AppPool, left: &[&str]) {
    let runs = AtomicUsize::new(0);
    let run = async |idem: &Idempotency, key: &str| {
        let body = async {
            runs.fetch_add(1, Ordering::SeqCst);
            // Others do so while the body runs as well.
            pool.leave(SIZE, left).await;
            Ok::<_, Error>(key.to_owned())
        };
        in_time(idem.operation("charge").key(key).run_with_outcome(body)).await.unwrap()
    };
    for number in 0..4_usize {
        let key = format!("left-{number}");
        pool.leave(SIZE, left).await;
        assert!(!run(&idem, &key).await.is_replayed());
        assert!(run(&other, &key).await.is_replayed(), "{key} is recorded nowhere");
        assert!(run(&idem, &key).await.is_replayed());
        assert_eq!(runs.load(Ordering::SeqCst), number + 1);
    }
}

async fn left(kind: Kind, statements: &[&str]) {
    let database = Database::migrated(kind).await;
    database.run("CREATE TABLE strangers (n integer)").await;
    let pool = AppPool::connect(&database, SIZE).await;
    nothing_is_lost(pool.handle(), database.handle().await, &pool, statements).await;
    if let AppPool::Postgres(postgres) = &pool {
        let unnamed = PostgresStorage::builder().prepared_statements(false);
        let handle = |storage| Idempotency::builder(storage).namespace("unnamed").build().unwrap();
        let other = handle(PostgresStorage::connect(&database.url).await.unwrap());
        let idem = handle(unnamed.build(postgres.clone()).unwrap());
        nothing_is_lost(idem, other, &pool, statements).await;
    }
}

async fn transactions_that_others_left_open_change_nothing(kind: Kind) {
    left(kind, &["BEGIN", "SELECT count(*) FROM strangers"]).await;
}

async fn aborted_transactions_that_others_left_change_nothing(kind: Kind) {
    left(kind, &["BEGIN", "SELECT 1/0", "SELECT no_such_column FROM strangers"]).await;
}
