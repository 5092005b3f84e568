//! What a readiness probe and an operator ask: whether the storage answers, and what is wrong with its settings, whatever it is.

use std::time::{Duration, Instant};

use idem_runtime::storage::{
    MySqlStorage, PostgresStorage, SharedStorage, StorageErrorKind, StorageWarning,
};
use idem_runtime::testing::{Fault, FaultyStorage, Verb};
use idem_runtime::{Error, ErrorKind, Idempotency};
use sqlx::{MySqlPool, PgPool};
use tempfile::TempDir;
use testkit::proxy::Loss;
use testkit::redis::{ClusterSetup, RedisServer, SentinelSetup};
use testkit::sql::{Product, SqlServer, query, shared};

use crate::stage::{BUSY, Stage, in_time};

on_every_backend!(a_storage_that_answers_is_alive_and_a_ping_leaves_nothing);
on_every_server!(a_storage_that_does_not_answer_is_told_within_the_budget_and_recovers);

async fn a_storage_that_answers_is_alive_and_a_ping_leaves_nothing(stage: Stage) {
    let process = stage.process().await;
    for _ in 0..3 {
        in_time(process.idem.ping()).await.unwrap();
    }
    assert_eq!(process.faults.calls(Verb::Load), 3, "one round trip each");
    assert_eq!(process.faults.calls(Verb::Claim), 0);
    // What goes wrong has a type: the storage's kind, in the words of a caller.
    for (kind, heard) in [
        (StorageErrorKind::NotApplied, ErrorKind::Storage),
        (StorageErrorKind::Configuration, ErrorKind::Configuration),
    ] {
        process.faults.next(Verb::Load, Fault::Fail(kind));
        let error = process.idem.ping().await.unwrap_err();
        assert_eq!(error.kind(), heard, "{error}");
        process.idem.ping().await.unwrap();
    }
}

async fn a_storage_that_does_not_answer_is_told_within_the_budget_and_recovers(stage: Stage) {
    const BUDGET: Duration = Duration::from_millis(500);
    let proxy = stage.proxy().unwrap();
    let builder = Idempotency::builder(stage.storage_through(&proxy).await);
    let idem = builder.claim_timeout(BUDGET).build().unwrap();
    // The first may have to log in first.
    in_time(async { while idem.ping().await.is_err() {} }).await;

    proxy.drop_requests(Loss::next(usize::MAX).hanging());
    let begun = Instant::now();
    for error in [idem.ping().await.unwrap_err(), idem.warnings().await.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
        assert!(error.is_retryable(), "{error}");
    }
    // That of the ping, and four times that of the look.
    assert!(begun.elapsed() < BUDGET * 5 + BUSY, "{:?}", begun.elapsed());

    proxy.refuse();
    proxy.cut();
    let error = idem.ping().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");

    proxy.heal();
    proxy.cut();
    let again = async {
        while let Err(error) = idem.ping().await {
            assert!(error.is_retryable(), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    in_time(again).await;
}

/// A handle on a database without tables, beside the application's pool.
async fn without_tables(product: Product) -> Error {
    let url = shared(product).new_database();
    let storage = match product {
        Product::Postgres => {
            SharedStorage::new(PostgresStorage::new(PgPool::connect(&url).await.unwrap()))
        }
        Product::MySql => {
            SharedStorage::new(MySqlStorage::new(MySqlPool::connect(&url).await.unwrap()))
        }
    };
    let idem = Idempotency::new(storage).unwrap();
    in_time(idem.ping()).await.unwrap_err()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ping_tells_of_tables_that_are_missing() {
    for product in [Product::Postgres, Product::MySql] {
        let error = without_tables(product).await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert!(
            !error.is_retryable() && error.to_string().contains("idempotency_records"),
            "{error}"
        );
    }
}

/// The settings that are warned of at `url`.
async fn warned(url: &str) -> Vec<String> {
    let idem = Idempotency::connect(url).await.unwrap();
    in_time(idem.ping()).await.unwrap();
    let warnings = in_time(idem.warnings()).await.unwrap();
    for warning in &warnings {
        assert!(!warning.to_string().is_empty());
    }
    // A wrapper passes them on.
    let wrapped = Idempotency::new(FaultyStorage::new(idem.storage().clone())).unwrap();
    assert_eq!(wrapped.warnings().await.unwrap(), warnings);
    warnings.iter().map(|warning| warning.setting().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_tells_of_its_settings_as_they_are_now() {
    let server = RedisServer::builder().append_only("always").start();
    let idem = Idempotency::connect(&server.url()).await.unwrap();
    assert_eq!(idem.warnings().await.unwrap(), []);
    server.command(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    server.command(&["CONFIG", "SET", "appendonly", "no"]);
    server.command(&["CONFIG", "SET", "save", ""]);
    let warnings = idem.warnings().await.unwrap();
    let settings: Vec<_> = warnings.iter().map(StorageWarning::setting).collect();
    assert_eq!(settings, ["maxmemory-policy", "appendonly"], "{warnings:?}");
    assert!(warnings[0].to_string().contains("allkeys-lru"), "{}", warnings[0]);
    assert_eq!(warned(&server.url()).await, settings);
}

/// `host:port,…` of some servers.
fn authorities(urls: &[String]) -> String {
    let hosts = urls.iter().map(|url| url.trim_start_matches("redis://").trim_end_matches('/'));
    hosts.collect::<Vec<_>>().join(",")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sentinel_and_cluster_tell_of_their_settings_and_answer_pings() {
    let setup = SentinelSetup::start();
    assert_eq!(
        warned(&format!(
            "redis-sentinel://{}/{}",
            authorities(&setup.sentinel_urls()),
            setup.master_name()
        ))
        .await,
        ["appendonly"]
    );
    let cluster = ClusterSetup::start();
    assert_eq!(
        warned(&format!("redis-cluster://{}", authorities(&cluster.urls()))).await,
        ["appendonly"]
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn databases_tell_of_their_settings() {
    let url = shared(Product::Postgres).new_database();
    PostgresStorage::connect(&url).await.unwrap().migrate().await.unwrap();
    let name = url.rsplit('/').next().unwrap();
    query(&url, &format!("ALTER DATABASE {name} SET synchronous_commit = off")).unwrap();
    let told = warned(&url).await;
    assert!(told.contains(&"synchronous_commit".to_owned()), "{told:?}");

    let server =
        SqlServer::builder(Product::MySql).setting("innodb-flush-log-at-trx-commit", "2").start();
    let storage = MySqlStorage::connect(server.url()).await.unwrap();
    storage.migrate().await.unwrap();
    assert_eq!(warned(&server.url()).await, ["innodb_flush_log_at_trx_commit"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_and_memory_tell_of_their_settings() {
    let dir = TempDir::new().unwrap();
    let file = format!("sqlite:{}", dir.path().join("records.db").display());
    assert_eq!(warned(&file).await, [""; 0]);
    assert_eq!(warned("sqlite::memory:").await, [""; 0]);
    assert_eq!(warned("memory:").await, [""; 0]);

    let options = sqlx::sqlite::SqliteConnectOptions::new()
        .filename(dir.path().join("careless.db"))
        .create_if_missing(true)
        .synchronous(sqlx::sqlite::SqliteSynchronous::Off);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let storage = idem_runtime::storage::SqliteStorage::new(pool);
    let idem = Idempotency::new(storage).unwrap();
    let warnings = idem.warnings().await.unwrap();
    let settings: Vec<_> = warnings.iter().map(StorageWarning::setting).collect();
    assert_eq!(settings, ["journal_mode", "synchronous"], "{warnings:?}");
}
