//! Making the tables, and what happens without them.

use idem_runtime::storage::sql::{POSTGRES_SCHEMA, PostgresStorage};
use idem_runtime::storage::{Storage, StorageErrorKind};
use sqlx::PgPool;
use testkit::sql::{Product, shared};
use tokio::task::JoinSet;

use super::super::{claim, fresh_key, run_once};
use super::database;
use crate::stage::BUSY;

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_migrate_at_once() {
    let url = shared(Product::Postgres).new_database();
    let mut processes = JoinSet::new();
    for _ in 0..8 {
        let pool = PgPool::connect(&url).await.unwrap();
        processes.spawn(async move {
            let storage = PostgresStorage::builder().connection_timeout(BUSY).build(pool).unwrap();
            storage.migrate().await.unwrap();
            run_once(&storage).await;
        });
    }
    processes.join_all().await;
    let pool = PgPool::connect(&url).await.unwrap();
    let versions = "SELECT version FROM idempotency_records_migrations";
    let versions: Vec<i64> = sqlx::query_scalar(versions).fetch_all(&pool).await.unwrap();
    assert_eq!(versions, [1]);
}

#[tokio::test]
async fn storage_without_its_tables_says_what_to_do() {
    let url = shared(Product::Postgres).new_database();
    let storage = PostgresStorage::new(PgPool::connect(&url).await.unwrap());
    let error = storage.claim(&claim(&fresh_key())).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

#[tokio::test]
async fn tables_may_be_made_from_the_documented_schema() {
    let url = shared(Product::Postgres).new_database();
    let pool = PgPool::connect(&url).await.unwrap();
    sqlx::raw_sql(POSTGRES_SCHEMA).execute(&pool).await.unwrap();
    let storage = PostgresStorage::new(pool);
    run_once(&storage).await;
    // Whoever made them may go over to `migrate()` later.
    storage.migrate().await.unwrap();
    run_once(&storage).await;
}

#[tokio::test]
async fn tables_of_other_names_are_apart() {
    let (_, storage, pool) = database().await;
    sqlx::raw_sql("CREATE SCHEMA app").execute(&pool).await.unwrap();
    let builder = || PostgresStorage::builder().schema("app").table("Once");
    let nowhere = PostgresStorage::builder().schema("nowhere").build(pool.clone()).unwrap();
    let error = nowhere.migrate().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration);
    assert!(error.to_string().contains("no schema"), "{error}");
    let other = builder().build(pool.clone()).unwrap();
    other.migrate().await.unwrap();
    other.migrate().await.unwrap();
    let done = run_once(&other).await;
    assert!(other.load(&done.key).await.unwrap().is_some());
    assert_eq!(storage.load(&done.key).await.unwrap(), None);
    let error = PostgresStorage::builder().table("a\"; --").build(pool).unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration);
}

#[tokio::test]
async fn tables_of_a_newer_version_are_left_alone() {
    let (_, storage, pool) = database().await;
    let newer = "INSERT INTO idempotency_records_migrations (version) VALUES (99)";
    sqlx::raw_sql(newer).execute(&pool).await.unwrap();
    let error = storage.migrate().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NewerVersion);
}
