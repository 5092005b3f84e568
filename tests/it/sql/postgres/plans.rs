//! How the server finds rows: by an index, whatever it knew of the table when it made a plan.

use std::time::Duration;

use idem_runtime::storage::{Claim, PostgresStorage, Storage};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;

use super::super::{at_once, claim, fresh_key, run_once};
use super::database;
use crate::stage::in_time;

/// Rows that are neither expired nor of any key that is asked for.
const GROW: &str =
    "INSERT INTO idempotency_records
        (key, version, status, owner, fence, recovered, fingerprint, on_crash, lease_ms, ttl_ms, lease_until, expires_at, purge_after)
     SELECT 'other:' || n, 1, 'processing', decode(repeat('00', 16), 'hex'), 1, 0, decode(repeat('01', 33), 'hex'), 'retry', 1, 1,
        9000000000000, 9000000000000, 9000000000000
     FROM generate_series(1, 20000) AS n";

/// What the server has counted of the table.
#[derive(Debug)]
struct Counts {
    /// Rows that were read without an index.
    read_in_order: i64,
    /// Rows that `purge` has found by its index.
    found_to_purge: i64,
    inserted: i64,
    deleted: i64,
}

async fn counts(direct: &PgPool) -> Counts {
    let counts = "SELECT t.seq_tup_read, i.idx_tup_read, t.n_tup_ins, t.n_tup_del
        FROM pg_stat_user_tables AS t JOIN pg_stat_user_indexes AS i USING (relid)
        WHERE t.relname = 'idempotency_records' AND i.indexrelname = 'idempotency_records_purge_after'";
    let (read_in_order, found_to_purge, inserted, deleted) =
        sqlx::query_as(counts).fetch_one(direct).await.unwrap();
    Counts { read_in_order, found_to_purge, inserted, deleted }
}

/// The server counts with some delay.
async fn counted(direct: &PgPool, is_counted: impl Fn(&Counts) -> bool) -> Counts {
    in_time(async {
        loop {
            let counts = counts(direct).await;
            if is_counted(&counts) {
                return counts;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn statements_that_were_planned_for_a_small_table_do_not_read_a_large_one() {
    let (url, storage, direct) = database().await;
    // More than one row: to read a single one in order costs less than to find it.
    at_once(&storage, 8, async |storage| drop(run_once(&storage).await)).await;
    for settled in
        ["ALTER TABLE idempotency_records SET (autovacuum_enabled = false)", "VACUUM ANALYZE"]
    {
        sqlx::raw_sql(settled).execute(&direct).await.unwrap();
    }
    // The plans are made, and kept, on the one connection that is used again below.
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let storage = PostgresStorage::new(pool);
    let calls = async || {
        for _ in 0..8 {
            run_once(&storage).await;
            at_once(&storage, 8, async |storage| drop(run_once(&storage).await)).await;
        }
    };
    calls().await;
    sqlx::raw_sql(GROW).execute(&direct).await.unwrap();
    let before = counted(&direct, |counts| counts.inserted >= 20_080).await;
    calls().await;
    let after = counted(&direct, |counts| counts.inserted >= 20_152).await;
    assert_eq!(after.read_in_order, before.read_in_order, "{after:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn purge_finds_what_it_removes_by_its_index() {
    let (_, storage, direct) = database().await;
    for _ in 0..50 {
        let claim = claim(&fresh_key());
        storage
            .claim(&Claim { lease: Duration::ZERO, ttl: Duration::ZERO, ..claim })
            .await
            .unwrap();
    }
    for grown in [GROW, "VACUUM ANALYZE idempotency_records"] {
        sqlx::raw_sql(grown).execute(&direct).await.unwrap();
    }
    let before = counted(&direct, |counts| counts.inserted == 20_050).await;
    assert_eq!((storage.purge(20).await.unwrap(), storage.purge(20).await.unwrap()), (20, 20));
    let after = counted(&direct, |counts| counts.deleted == 40).await;
    assert_eq!(after.read_in_order, before.read_in_order);
    // Those that the first one removed are met again until they are vacuumed; the live ones are not.
    assert!((40..=100).contains(&(after.found_to_purge - before.found_to_purge)), "{after:?}");
}
