//! Servers, roles and pools with other settings than the storage relies on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use idem_runtime::storage::{Claim, Claimed, MySqlStorage, SharedStorage, Storage, StorageWarning};
use idem_runtime::{Error, ErrorKind, Idempotency};
use testkit::sql::{PgBouncer, Product, SqlServer, query};

use super::app_pool::AppPool;
use super::own::{Database, Kind};
use super::{claim, complete, key, run_once};
use crate::stage::in_time;

/// Fresh, duplicate, takeover, a late owner, many at once: all that depends on how a session commits, reads and waits.
async fn everything_works(storage: &SharedStorage, elsewhere: &SharedStorage, what: &str) {
    let done = in_time(run_once(storage)).await;
    let rival = || claim(&done.key);
    for other in [storage, elsewhere] {
        let replay = in_time(other.claim(&rival())).await.unwrap();
        assert!(matches!(replay, Claimed::Replay(_)), "{what}: {replay:?}");
    }
    let dead = Claim { lease: Duration::ZERO, ..claim(&key(&format!("dead-{what}"))) };
    in_time(storage.claim(&dead)).await.unwrap();
    let taken = claim(&dead.key);
    let answer = in_time(storage.claim(&taken)).await.unwrap();
    assert!(
        matches!(answer, Claimed::Acquired { fence, .. } if fence.get() == 2),
        "{what}: {answer:?}"
    );
    let late = in_time(elsewhere.complete(&complete(&dead, "1"))).await.unwrap();
    assert!(matches!(late, idem_runtime::storage::Written::LeaseLost(_)), "{what}: {late:?}");
    // Rivals for few keys, from both sides.
    let one = claim(&key(&format!("rivals-{what}")));
    let rivals: Vec<_> = (0..40).map(|_| claim(&one.key)).collect();
    let sides = rivals.iter().enumerate().map(|(number, rival)| {
        let side = if number % 2 == 0 { storage } else { elsewhere };
        async move { side.claim(rival).await }
    });
    let answers = in_time(join_all(sides)).await;
    let won = answers.iter().filter(|answer| matches!(answer, Ok(Claimed::Acquired { .. })));
    assert_eq!(won.count(), 1, "{what}: {answers:?}");
    for answer in &answers {
        assert!(answer.is_ok(), "{what}: {answer:?}");
    }
}

/// What a role, a database or a server may say otherwise, by `ALTER DATABASE`.
const OF_POSTGRES: [(&str, &str); 10] = [
    ("default_transaction_isolation", "'repeatable read'"),
    ("default_transaction_isolation", "serializable"),
    ("statement_timeout", "'1ms'"),
    ("lock_timeout", "'1ms'"),
    ("idle_in_transaction_session_timeout", "'1ms'"),
    ("synchronous_commit", "off"),
    ("timezone", "'Pacific/Chatham'"),
    ("standard_conforming_strings", "off"),
    ("datestyle", "'SQL, DMY'"),
    ("plan_cache_mode", "force_generic_plan"),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_a_postgres_database_change_nothing() {
    let database = Database::migrated(Kind::Postgres).await;
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    for (number, (setting, value)) in OF_POSTGRES.into_iter().enumerate() {
        let alter = |what: String| query(&database.url, &format!("ALTER DATABASE {name} {what}"));
        alter(format!("SET {setting} = {value}")).unwrap();
        let what = format!("{number} {setting} = {value}");
        let pool = AppPool::connect(&database, 2).await;
        everything_works(&database.storage().await, &pool.storage(), &what).await;
        alter(format!("RESET {setting}")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_pool_finds_its_tables_by_the_path_of_its_hook() {
    let database = Database::empty(Kind::Postgres);
    database.run("CREATE SCHEMA app; CREATE SCHEMA empty").await;
    let pool = AppPool::with_hook(&database, 1, "SET search_path = app").await;
    let AppPool::Postgres(postgres) = &pool else { panic!("another pool") };
    let storage = idem_runtime::storage::PostgresStorage::new(postgres.clone());
    storage.migrate().await.unwrap();
    everything_works(&pool.storage(), &pool.storage(), "search_path").await;
    assert_ne!(database.run("SELECT count(*) FROM app.idempotency_records").await, "0");
    // Elsewhere there is none.
    let pool = AppPool::with_hook(&database, 1, "SET search_path = empty").await;
    refused_before_the_body(pool.handle(), "idempotency_records does not exist").await;
}

/// What a pool of the application's may have told its sessions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_a_postgres_pool_change_nothing() {
    let database = Database::migrated(Kind::Postgres).await;
    for (number, hook) in [
        "SET default_transaction_isolation = serializable",
        "SET lock_timeout = 0; SET statement_timeout = 0",
        "DISCARD ALL",
        "BEGIN",
        "SET TIME ZONE 'Pacific/Chatham'; SET standard_conforming_strings = off",
    ]
    .into_iter()
    .enumerate()
    {
        let pool = AppPool::with_hook(&database, 2, hook).await;
        let what = format!("hook {number}");
        everything_works(&pool.storage(), &database.storage().await, &what).await;
    }
}

/// Each refused with a kind and words to act on.
async fn refused_before_the_body(idem: Idempotency, words: &str) {
    let runs = AtomicUsize::new(0);
    let refused = async || loop {
        let body = async {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Error>(1)
        };
        let error = idem.operation("charge").key("k").run(body).await.unwrap_err();
        let kinds = [ErrorKind::Storage, ErrorKind::Configuration];
        assert!(kinds.contains(&error.kind()), "{error:?}");
        assert_eq!(runs.load(Ordering::SeqCst), 0);
        // On a busy machine the time may be over before the server has answered.
        if error.to_string().contains(words) {
            break;
        }
    };
    in_time(refused()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_may_only_read_are_refused_before_the_body() {
    let database = Database::migrated(Kind::Postgres).await;
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    let alter = format!("ALTER DATABASE {name} SET default_transaction_read_only = on");
    query(&database.url, &alter).unwrap();
    refused_before_the_body(database.handle().await, "read-only").await;

    let database = Database::migrated(Kind::MySql).await;
    let hook = "SET SESSION TRANSACTION READ ONLY";
    let pool = AppPool::with_hook(&database, 1, hook).await;
    refused_before_the_body(pool.handle(), "read-only").await;

    let database = Database::migrated(Kind::Sqlite).await;
    let pool = AppPool::with_hook(&database, 1, "PRAGMA query_only = on").await;
    refused_before_the_body(pool.handle(), "read-only").await;
}

/// A pooler in transaction mode refuses settings at the start, and what a session sets meets the next client.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pooler_in_transaction_mode_changes_nothing_and_keeps_no_setting() {
    let server = SqlServer::builder(Product::Postgres)
        .without_fsync()
        .setting("default_transaction_isolation", "serializable")
        .start();
    let pooler = PgBouncer::before(&server, 3);
    let direct = idem_runtime::storage::PostgresStorage::connect(&server.url()).await.unwrap();
    direct.migrate().await.unwrap();
    let builder = idem_runtime::storage::PostgresStorage::builder().prepared_statements(false);
    let through = SharedStorage::new(builder.connect(pooler.url()).await.unwrap());
    everything_works(&through, &SharedStorage::new(direct), "pooler").await;
    // This pooler does not follow named statements either, and that is refused by a kind to act on.
    let named = idem_runtime::storage::PostgresStorage::connect(pooler.url()).await.unwrap();
    for number in 0..20 {
        if let Err(error) = named.claim(&claim(&key(&format!("named-{number}")))).await {
            assert!(error.to_string().contains("prepared_statements"), "{error}");
        }
    }
    // Whatever server connection another client gets has the server's own settings.
    for _ in 0..6 {
        let settings = "SELECT current_setting('lock_timeout') || current_setting('statement_timeout') \
                        || current_setting('default_transaction_isolation')";
        assert_eq!(query(&pooler.url(), settings).unwrap(), "00serializable");
    }
}

/// Sessions that do not commit by themselves, by the server, by what it does when somebody connects, and by the pool.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_sessions_that_do_not_commit_by_themselves_lose_nothing() {
    for (name, value) in [
        ("autocommit", "0"),
        ("init-connect", "SET autocommit = 0"),
        ("init-connect", "SET autocommit = 0; SELECT 1; BEGIN"),
    ] {
        let server =
            SqlServer::builder(Product::MySql).without_fsync().setting(name, value).start();
        // Whoever may do everything is spared `init_connect`.
        server.query("CREATE USER app@'%' IDENTIFIED BY ''");
        server.query("GRANT SELECT, INSERT, UPDATE, DELETE, CREATE ON idem.* TO app@'%'");
        let url = format!("mysql://app@127.0.0.1:{}/idem", server.port());
        let connect = async || MySqlStorage::connect(&url).await.unwrap();
        connect().await.migrate().await.unwrap();
        let (one, other) =
            (SharedStorage::new(connect().await), SharedStorage::new(connect().await));
        everything_works(&one, &other, "autocommit").await;
        let done = run_once(&one).await;
        drop((one, other));
        let after = connect().await;
        assert!(after.load(&done.key).await.unwrap().is_some(), "{name} = {value}");
        let pool = sqlx::MySqlPool::connect(&url).await.unwrap();
        let beside = SharedStorage::new(MySqlStorage::new(pool));
        everything_works(&beside, &SharedStorage::new(after), "beside a pool").await;
    }
}

const OF_MYSQL: [&str; 8] = [
    "SET autocommit = 0",
    "SET autocommit = 0; SELECT 1 FROM idempotency_records",
    "BEGIN",
    "SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,ONLY_FULL_GROUP_BY,STRICT_ALL_TABLES'",
    "SET sql_mode = ''",
    "SET SESSION TRANSACTION ISOLATION LEVEL SERIALIZABLE",
    "SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED",
    "SET time_zone = '+13:00', innodb_lock_wait_timeout = 1000, lock_wait_timeout = 100000",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_a_mysql_pool_change_nothing() {
    let database = Database::migrated(Kind::MySql).await;
    for (number, hook) in OF_MYSQL.into_iter().enumerate() {
        let pool = AppPool::with_hook(&database, 2, hook).await;
        let what = format!("hook {number}");
        everything_works(&pool.storage(), &database.storage().await, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_settings_of_a_sqlite_pool_change_nothing() {
    let database = Database::migrated(Kind::Sqlite).await;
    for (number, hook) in [
        "PRAGMA busy_timeout = 0",
        "BEGIN",
        "PRAGMA foreign_keys = on; PRAGMA recursive_triggers = on",
        "PRAGMA synchronous = off",
        "PRAGMA case_sensitive_like = on; PRAGMA reverse_unordered_selects = on",
    ]
    .into_iter()
    .enumerate()
    {
        let pool = AppPool::with_hook(&database, 2, hook).await;
        let what = format!("hook {number}");
        everything_works(&pool.storage(), &database.storage().await, &what).await;
    }
}

/// The application's choice, which the storage leaves alone, and says what it means.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn settings_that_lose_commits_are_told() {
    use idem_runtime::storage::PostgresStorage;

    let database = Database::migrated(Kind::Postgres).await;
    let settings = |warnings: Vec<StorageWarning>| {
        warnings.iter().map(|warning| warning.setting().to_owned()).collect::<Vec<_>>()
    };
    let reported = async |url: &str| {
        let storage = PostgresStorage::connect(url).await.unwrap();
        settings(storage.warnings().await.unwrap())
    };
    let before = reported(&database.url).await;
    assert!(!before.iter().any(|setting| setting == "synchronous_commit"), "{before:?}");
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    let alter = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    query(&database.url, &alter).unwrap();
    let reports = reported(&database.url).await;
    assert!(reports.iter().any(|setting| setting == "synchronous_commit"), "{reports:?}");

    let server = SqlServer::builder(Product::MySql)
        .setting("innodb-flush-log-at-trx-commit", "2")
        .setting("log-bin", "binlog")
        .setting("sync-binlog", "0")
        .start();
    let storage = MySqlStorage::connect(server.url()).await.unwrap();
    let reported = settings(storage.warnings().await.unwrap());
    assert_eq!(reported, ["innodb_flush_log_at_trx_commit", "sync_binlog"]);
}
