//! Servers that cannot be used: a kind, and a text that helps without a password in it.

use std::time::Duration;

use idem_runtime::storage::{Claimed, PostgresStorage, Storage, StorageErrorKind};
use sqlx::postgres::PgPoolOptions;
use testkit::sql::{PgBouncer, Product, SqlServer};

use super::super::{claim, complete, fresh_key, key, run_once};
use super::database;
use crate::stage::{self, BUSY, in_time};

/// One that a busy machine may keep waiting.
async fn patient(url: String) -> PostgresStorage {
    stage::postgres(url).await
}

#[tokio::test]
async fn addresses_that_cannot_be_used_are_told_without_their_password() {
    let (url, _, _) = database().await;
    let other_database = format!("{}nowhere", &url[..=url.rfind('/').unwrap()]);
    let at = url.find('@').unwrap();
    let wrong_user = format!("postgres://nobody:hunter2{}", &url[at..]);
    let user = url[..at].rsplit_once(':').unwrap().0;
    let wrong_password = format!("{user}:hunter2{}", &url[at..]);
    let cases = [
        ("postgres://u:hunter2@127.0.0.1:1/db", StorageErrorKind::NotApplied),
        ("postgres://u:hunter2@[", StorageErrorKind::Configuration),
        (other_database.as_str(), StorageErrorKind::Configuration),
        (wrong_user.as_str(), StorageErrorKind::Configuration),
        (wrong_password.as_str(), StorageErrorKind::Configuration),
    ];
    for (url, kind) in cases {
        let told = async || loop {
            let error = PostgresStorage::connect(url).await.unwrap_err();
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
            // A busy server may not answer in time.
            if error.kind() == kind || error.kind() != StorageErrorKind::NotApplied {
                break error.kind();
            }
        };
        assert_eq!(in_time(told()).await, kind, "{url}");
    }
}

#[tokio::test]
async fn read_only_server_refuses_and_nothing_is_lost() {
    let (_, storage, direct) = database().await;
    let options = (*direct.connect_options()).clone();
    let options = options.options([("default_transaction_read_only", "on")]);
    let reader = sqlx::PgPool::connect_with(options).await.unwrap();
    let reader = PostgresStorage::builder().connection_timeout(BUSY).build(reader).unwrap();
    let error = reader.claim(&claim(&fresh_key())).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    run_once(&storage).await;
}

/// A failover seen from its wrong side: the address leads to a server that follows another one.
#[tokio::test(flavor = "multi_thread")]
async fn standby_is_told_and_used_when_it_is_promoted() {
    let mut server = SqlServer::start(Product::Postgres);
    let storage = patient(server.url()).await;
    storage.migrate().await.unwrap();
    let done = run_once(&storage).await;
    server.restart_as_standby();
    let storage = patient(server.url()).await;
    for key in [&done.key, &fresh_key()] {
        let error = storage.claim(&claim(key)).await.unwrap_err();
        assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error:?}");
        assert!(error.to_string().contains("read-only replica"), "{error}");
    }
    storage.migrate().await.unwrap(); // up to date, which it reads
    let without_tables = PostgresStorage::builder().table("elsewhere").connect(server.url()).await;
    let error = without_tables.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error:?}");
    assert!(error.to_string().contains("read-only replica"), "{error}");
    assert_eq!(server.query("SELECT pg_promote()"), "t");
    assert!(matches!(storage.claim(&claim(&done.key)).await.unwrap(), Claimed::Replay(_)));
    run_once(&storage).await;
}

/// A pooler answers for a server that is gone, as if it were the server.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_server_was_asked_that_died_behind_a_pooler_may_have_happened() {
    let mut server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let pooler = PgBouncer::before(&server, 2);
    let url =
        server.url().replace(&format!(":{}/", server.port()), &format!(":{}/", pooler.port()));
    let pool = PgPoolOptions::new().max_connections(1).connect(&url).await.unwrap();
    let builder = PostgresStorage::builder().prepared_statements(false).connection_timeout(BUSY);
    let storage = builder.build(pool).unwrap();
    storage.migrate().await.unwrap();
    let claim = claim(&fresh_key());
    assert!(matches!(storage.claim(&claim).await, Ok(Claimed::Acquired { .. })));

    let direct = PgPoolOptions::new().connect(&server.url()).await.unwrap();
    let mut holder = direct.begin().await.unwrap();
    let lock = "SELECT 1 FROM idempotency_records FOR UPDATE";
    sqlx::query(lock).execute(&mut *holder).await.unwrap();
    let completing = tokio::spawn(async move { storage.complete(&complete(&claim, "1")).await });
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    in_time(async {
        while sqlx::query_scalar::<_, i64>(waiting).fetch_one(&direct).await.unwrap() == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    server.kill();
    let error = in_time(completing).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Indeterminate, "{error:?}");
}

/// Databases that were made long ago, in the encoding of those days.
#[tokio::test(flavor = "multi_thread")]
async fn database_that_lacks_a_character_of_a_key_says_so_and_merges_nothing() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    for (encoding, knows_all) in [("LATIN1", false), ("SQL_ASCII", true)] {
        let name = encoding.to_lowercase();
        let make = format!("CREATE DATABASE {name} TEMPLATE template0 ENCODING '{encoding}'");
        server.query(&make);
        let url = server.url().replace("/postgres", &format!("/{name}"));
        let storage = stage::postgres(&url).await;
        storage.migrate().await.unwrap();
        let (known, unknown) = (key("caf\u{e9}"), key("caf\u{e9} \u{1F980}"));
        let asked = claim(&known);
        assert!(matches!(storage.claim(&asked).await.unwrap(), Claimed::Acquired { .. }));
        storage.complete(&complete(&asked, "\u{1F980}")).await.unwrap();
        match storage.claim(&claim(&unknown)).await {
            Ok(answer) => assert!(knows_all && matches!(answer, Claimed::Acquired { .. })),
            Err(error) => {
                assert!(!knows_all, "{error:?}");
                assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error:?}");
                assert!(error.to_string().contains("UTF8"), "{error}");
            }
        }
        let Claimed::Replay(replay) = storage.claim(&claim(&known)).await.unwrap() else {
            panic!()
        };
        assert_eq!(replay.finish, complete(&asked, "\u{1F980}").finish);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_comes_back_is_used_again_with_its_records() {
    let mut server = SqlServer::start(Product::Postgres);
    let storage = patient(server.url()).await;
    storage.migrate().await.unwrap();
    let done = run_once(&storage).await;
    server.kill();
    let error = storage.claim(&claim(&fresh_key())).await.unwrap_err();
    assert!(error.is_transient(), "{error:?}");
    server.start_again();
    let mut answer = storage.claim(&claim(&done.key)).await;
    // Every connection of the pool has to find out by itself.
    for _ in 0..20 {
        if answer.is_ok() {
            break;
        }
        answer = storage.claim(&claim(&done.key)).await;
    }
    assert!(matches!(answer.unwrap(), Claimed::Replay(_)));
}
