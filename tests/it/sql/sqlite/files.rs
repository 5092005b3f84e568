//! Files: made, shared, unfit.

use idem_runtime::storage::sql::{SQLITE_SCHEMA, SqliteStorage};
use idem_runtime::storage::{Claimed, Storage, StorageErrorKind, StorageWarning};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tempfile::TempDir;
use tokio::task::JoinSet;

use super::super::{claim, fresh_key, run_once};
use super::database;

#[tokio::test(flavor = "multi_thread")]
async fn many_processes_migrate_and_write_at_once() {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("records.db").display());
    let mut processes = JoinSet::new();
    for _ in 0..6 {
        let url = url.clone();
        processes.spawn(async move {
            let storage = SqliteStorage::connect(url).await.unwrap();
            storage.migrate().await.unwrap();
            for _ in 0..20 {
                run_once(&storage).await;
            }
        });
    }
    processes.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 8)]
async fn many_processes_make_a_file_at_once() {
    for _ in 0..30 {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite://{}", dir.path().join("records.db").display());
        let mut processes = JoinSet::new();
        for _ in 0..12 {
            let url = url.clone();
            processes.spawn(async move { SqliteStorage::connect(url).await.map(drop) });
        }
        for opened in processes.join_all().await {
            opened.unwrap();
        }
    }
}

#[tokio::test]
async fn records_survive_the_storage_that_wrote_them() {
    let (_dir, url, storage, direct) = database().await;
    let done = run_once(&storage).await;
    drop((storage, direct));
    let storage = SqliteStorage::connect(&url).await.unwrap();
    assert!(matches!(storage.claim(&claim(&done.key)).await.unwrap(), Claimed::Replay(_)));
}

#[tokio::test]
async fn storage_without_its_tables_says_what_to_do() {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("records.db").display());
    let direct = SqlitePool::connect(&format!("{url}?mode=rwc")).await.unwrap();
    let storage = SqliteStorage::new(direct.clone());
    let error = storage.claim(&claim(&fresh_key())).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration);
    assert!(error.to_string().contains("migrate()"), "{error}");

    sqlx::raw_sql(SQLITE_SCHEMA).execute(&direct).await.unwrap();
    run_once(&storage).await;
    storage.migrate().await.unwrap();
    let newer = "INSERT INTO idempotency_records_migrations (version) VALUES (99)";
    sqlx::raw_sql(newer).execute(&direct).await.unwrap();
    assert_eq!(storage.migrate().await.unwrap_err().kind(), StorageErrorKind::NewerVersion);
}

#[tokio::test]
async fn file_that_is_no_database_is_refused_and_left_as_it_is() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("letter.txt");
    let letter = "not a database\n".repeat(100);
    std::fs::write(&path, &letter).unwrap();
    let error = SqliteStorage::connect(format!("sqlite://{}", path.display())).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), letter);

    let nowhere = format!("sqlite://{}", dir.path().join("no/such/folder.db").display());
    let error = SqliteStorage::connect(nowhere).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error:?}");
}

#[tokio::test]
async fn settings_that_lose_records_are_reported() {
    let (dir, _, storage, _) = database().await;
    assert_eq!(storage.warnings().await.unwrap(), []);
    let options = SqliteConnectOptions::new()
        .filename(dir.path().join("careless.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Delete)
        .synchronous(SqliteSynchronous::Off);
    let careless = SqliteStorage::new(SqlitePool::connect_with(options).await.unwrap());
    let warnings = careless.warnings().await.unwrap();
    let settings: Vec<_> = warnings.iter().map(StorageWarning::setting).collect();
    assert_eq!(settings, ["journal_mode", "synchronous"]);
    assert!(warnings[0].to_string().contains("`delete`"), "{warnings:?}");
}

#[tokio::test]
async fn read_only_file_is_told_and_stays_as_it_is() {
    let (_dir, url, storage, _) = database().await;
    let done = run_once(&storage).await;
    let refused = SqliteStorage::connect(format!("{url}?mode=ro")).await.unwrap_err();
    assert_eq!(refused.kind(), StorageErrorKind::Configuration, "{refused:?}");
    let reader = SqliteStorage::new(SqlitePool::connect(&format!("{url}?mode=ro")).await.unwrap());
    let error = reader.claim(&claim(&fresh_key())).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    // What is there can be replayed all the same.
    assert!(matches!(reader.claim(&claim(&done.key)).await.unwrap(), Claimed::Replay(_)));
    run_once(&storage).await;
}
