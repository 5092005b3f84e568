//! Removing expired rows by hand, while another process claims the key of one of them.
//!
//! The claim is open in one session when the documented statement comes in another, which may wait for it or pass it by. When both are
//! through, the row is the claim's and is still there, and what nobody claimed is gone.

use std::time::Duration;

use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::{Claim, Claimed, Storage};
use sqlx::{AssertSqlSafe, Connection, MySqlConnection, PgConnection, SqliteConnection};
use testkit::sql::{Product, shared};

use crate::stage::{Stage, TTL, in_time};

/// Claims three keys; the records of two of them have expired.
async fn claim_three(stage: &Stage) {
    let storage = stage.storage().await;
    for (key, time) in [("live", TTL), ("left", Duration::ZERO), ("taken", Duration::ZERO)] {
        let claim = Claim { ttl: time, ..stage.claim(key, time, CrashPolicy::Retry) };
        assert!(matches!(storage.claim(&claim).await.unwrap(), Claimed::Acquired { .. }));
    }
}

macro_rules! scene {
    ($name:ident, $stage:expr, $connection:ty, $begin:literal, $key:literal) => {
        pub(super) async fn $name(purge: &str) {
            let stage: Stage = $stage;
            claim_three(&stage).await;
            let url = stage.url().to_owned();
            let mut claimant = <$connection>::connect(&url).await.unwrap();
            sqlx::raw_sql($begin).execute(&mut claimant).await.unwrap();
            // What a claim writes that finds an expired row.
            let take_over = format!(
                "UPDATE idempotency_records
                 SET expires_at = expires_at + 600000, purge_after = purge_after + 600000 WHERE {} = '{}'",
                $key,
                stage.record_key("taken").as_str(),
            );
            let taken = sqlx::raw_sql(AssertSqlSafe(take_over)).execute(&mut claimant).await;
            assert_eq!(taken.unwrap().rows_affected(), 1);

            let purge = purge.to_owned();
            let purged = tokio::spawn(async move {
                let mut purger = <$connection>::connect(&url).await.unwrap();
                let purged = sqlx::raw_sql(AssertSqlSafe(purge)).execute(&mut purger).await;
                purged.unwrap().rows_affected()
            });
            // It has looked at the rows by then, or waits for them.
            tokio::time::sleep(Duration::from_millis(300)).await;
            sqlx::raw_sql("COMMIT").execute(&mut claimant).await.unwrap();

            assert_eq!(in_time(purged).await.unwrap(), 1);
            for (key, is_there) in [("live", true), ("taken", true), ("left", false)] {
                let count = format!(
                    "SELECT count(*) FROM idempotency_records WHERE {} = '{}'",
                    $key,
                    stage.record_key(key).as_str(),
                );
                let count = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut claimant);
                let count: i64 = count.await.unwrap();
                assert_eq!(count == 1, is_there, "{key}");
            }
        }
    };
}

async fn on(product: Product) -> Stage {
    Stage::on_server(product, &shared(product).new_database()).await
}

scene!(in_postgres, on(Product::Postgres).await, PgConnection, "BEGIN", "key");
scene!(in_mysql, on(Product::MySql).await, MySqlConnection, "BEGIN", "`key`");
scene!(in_sqlite, Stage::on_sqlite().await, SqliteConnection, "BEGIN IMMEDIATE", "key");
