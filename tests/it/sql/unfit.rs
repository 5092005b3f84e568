//! Databases that are not as they should be, and what a caller of the handle is told: a kind to act on, a text that helps, no body run.

use std::sync::atomic::{AtomicUsize, Ordering};

use idem_runtime::storage::{MySqlStorage, PostgresStorage, SharedStorage, SqliteStorage};
use idem_runtime::{Error, ErrorKind, Idempotency};
use sqlx::{MySqlPool, PgPool, SqlitePool};
use testkit::sql::query;

use super::app_pool::AppPool;
use super::own::{Database, Kind, on_every_database};

on_every_database!(
    a_database_without_its_tables_says_what_to_do_and_works_afterwards,
    tables_that_lack_a_column_are_told_and_nothing_is_lost,
    tables_with_a_column_that_nobody_here_fills_are_told,
    a_database_that_may_only_be_read_refuses_and_loses_nothing,
    keys_that_a_collation_would_merge_are_apart,
);

/// Calls, and says what came of it; counts the bodies that ran.
async fn call(idem: &Idempotency, key: &str, runs: &AtomicUsize) -> Result<String, Error> {
    let value = key.to_owned();
    let body = async {
        runs.fetch_add(1, Ordering::SeqCst);
        Ok::<_, Error>(value)
    };
    idem.operation("charge").key(key).run(body).await
}

/// Calls, and expects to be told that somebody has to change something, with these words.
async fn refused(idem: &Idempotency, words: &str) {
    let runs = AtomicUsize::new(0);
    let error = call(idem, "refused", &runs).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    assert!(!error.is_retryable());
    assert!(error.to_string().contains(words), "{error}");
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

async fn a_database_without_its_tables_says_what_to_do_and_works_afterwards(kind: Kind) {
    let database = Database::empty(kind);
    if kind == Kind::Sqlite {
        database.run("SELECT 1").await; // makes the file
    }
    let idem = AppPool::connect(&database, 2).await.handle();
    refused(&idem, "idempotency_records does not exist: call `migrate()`").await;
    database.migrate().await.unwrap();
    assert_eq!(call(&idem, "refused", &AtomicUsize::new(0)).await.unwrap(), "refused");
}

async fn tables_that_lack_a_column_are_told_and_nothing_is_lost(kind: Kind) {
    let database = Database::migrated(kind).await;
    let idem = database.handle().await;
    let runs = AtomicUsize::new(0);
    call(&idem, "done", &runs).await.unwrap();
    database.run("ALTER TABLE idempotency_records RENAME COLUMN size TO bytes").await;
    refused(&idem, "other columns").await;
    refused(&database.handle().await, "other columns").await;
    database.run("ALTER TABLE idempotency_records RENAME COLUMN bytes TO size").await;
    assert_eq!(call(&idem, "done", &runs).await.unwrap(), "done");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn tables_with_a_column_that_nobody_here_fills_are_told(kind: Kind) {
    let database = Database::empty(kind);
    let more =
        kind.schema().replacen("    version ", "    region  integer NOT NULL,\n    version ", 1);
    assert_ne!(more, kind.schema());
    database.run(&more).await;
    refused(&database.handle().await, "other columns").await;
}

async fn a_database_that_may_only_be_read_refuses_and_loses_nothing(kind: Kind) {
    let database = Database::migrated(kind).await;
    let runs = AtomicUsize::new(0);
    call(&database.handle().await, "done", &runs).await.unwrap();
    let reader = reader_of(&database).await;
    let fresh = call(&reader, "fresh", &runs).await.unwrap_err();
    assert!([ErrorKind::Storage, ErrorKind::Configuration].contains(&fresh.kind()), "{fresh:?}");
    assert!(fresh.to_string().contains("read"), "{fresh}");
    // Either what is there, or that it cannot be had: never a second run.
    match call(&reader, "done", &runs).await {
        Ok(value) => assert_eq!(value, "done"),
        Err(error) => assert!(error.to_string().contains("read"), "{error}"),
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    call(&database.handle().await, "fresh", &runs).await.unwrap();
    assert_eq!((runs.load(Ordering::SeqCst), database.rows().await), (2, 2));
}

/// The same database by somebody who may only read it.
async fn reader_of(database: &Database) -> Idempotency {
    let name = database.url.rsplit('/').next().unwrap();
    let role = format!("reader_{name}");
    let url = match database.kind {
        Kind::Sqlite => format!("{}?mode=ro", database.url),
        Kind::Postgres => {
            let make = format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'secret'; GRANT SELECT ON idempotency_records TO {role}"
            );
            query(&database.url, &make).unwrap();
            signed_in(&database.url, &format!("{role}:secret"))
        }
        Kind::MySql => {
            // MySQL takes a password for the first time only through an encrypted connection.
            let make = format!("CREATE USER {role}@'%' IDENTIFIED BY ''");
            query(&database.url, &make).unwrap();
            let grant = format!("GRANT SELECT ON {name}.* TO {role}@'%'");
            query(&database.url, &grant).unwrap();
            signed_in(&database.url, &role)
        }
    };
    // From a pool: to connect, a storage asks for what bodies need.
    let storage = match database.kind {
        Kind::Sqlite => {
            SharedStorage::new(SqliteStorage::new(SqlitePool::connect(&url).await.unwrap()))
        }
        Kind::Postgres => {
            SharedStorage::new(PostgresStorage::new(PgPool::connect(&url).await.unwrap()))
        }
        Kind::MySql => {
            SharedStorage::new(MySqlStorage::new(MySqlPool::connect(&url).await.unwrap()))
        }
    };
    Idempotency::new(storage).unwrap()
}

/// The address with another account.
fn signed_in(url: &str, user: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap();
    format!("{scheme}://{user}@{}", rest.split_once('@').unwrap().1)
}

async fn keys_that_a_collation_would_merge_are_apart(kind: Kind) {
    let database = Database::migrated(kind).await;
    let idem = database.handle().await;
    let runs = AtomicUsize::new(0);
    let keys =
        ["A", "a", "a ", " a", "ä", "a\u{308}", "ß", "ss", "\u{1F980}", "\u{1F981}", "a\u{1F980}"];
    for _ in 0..2 {
        for key in keys {
            assert_eq!(call(&idem, key, &runs).await.unwrap(), key);
        }
    }
    assert_eq!(runs.load(Ordering::SeqCst), keys.len());
}
