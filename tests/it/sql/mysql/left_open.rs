//! Connections that others gave back inside a transaction.

use idem_runtime::storage::{MySqlStorage, Storage, StorageErrorKind};
use sqlx::mysql::MySqlPoolOptions;
use testkit::sql::{Product, SqlServer, shared};

use super::super::run_where_others_left_one_open;
use super::values::pool_with;
use super::{claim, migrated, replay, result, run};

async fn nothing_is_swallowed(url: &str) {
    // One connection, so that whoever comes next meets what the last one left.
    let pool = MySqlPoolOptions::new().max_connections(1).connect(url).await.unwrap();
    let storage = MySqlStorage::new(pool.clone());
    let elsewhere = MySqlStorage::connect(url).await.unwrap();
    // What a `begin` leaves that is given up, without waiting for the right moment to give one up.
    let leave_one_open = async || {
        sqlx::raw_sql("BEGIN").execute(&pool).await.unwrap();
    };
    run_where_others_left_one_open(&storage, &elsewhere, leave_one_open).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transaction_that_others_left_open_swallows_no_record() {
    nothing_is_swallowed(&migrated().await).await;
}

/// What asks for the state of its session would do something else when a replica repeats it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn likewise_where_replicas_repeat_the_statements() {
    let server = SqlServer::builder(Product::MySql)
        .without_fsync()
        .setting("server-id", "1")
        .setting("log-bin", "binlog")
        .setting("binlog-format", "STATEMENT")
        .start();
    MySqlStorage::connect(server.url()).await.unwrap().migrate().await.unwrap();
    nothing_is_swallowed(&server.url()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_do_not_commit_by_themselves_are_refused() {
    let url = migrated().await;
    let storage = MySqlStorage::new(pool_with(&url, "SET autocommit = 0").await);
    let error = storage.claim(&claim("key")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error}");
    assert!(error.to_string().contains("autocommit"), "{error}");
    assert_eq!(storage.load(&claim("key").key).await.unwrap(), None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_knows_better_may_say_that_the_pool_is_the_storage_s_own() {
    let url = shared(Product::MySql).new_database();
    let pool = MySqlPoolOptions::new().connect(&url).await.unwrap();
    let storage = MySqlStorage::builder().shared_pool(false).build(pool).unwrap();
    storage.migrate().await.unwrap();
    run(&storage, "own", vec![1]).await;
    assert_eq!(replay(&storage, "own").await, result(vec![1]));
}
