//! Servers that cannot be used: a kind, and a text that helps without a password in it.

use idem_runtime::storage::{PostgresStorage, Storage, StorageErrorKind};
use testkit::sql::{Product, SqlServer};

use super::super::{claim, fresh_key, run_once};
use super::database;

#[tokio::test]
async fn addresses_that_cannot_be_used_are_told_without_their_password() {
    let (url, _, _) = database().await;
    let other_database = format!("{}nowhere", &url[..=url.rfind('/').unwrap()]);
    let at = url.find('@').unwrap();
    let wrong_user = format!("postgres://nobody:hunter2{}", &url[at..]);
    let cases = [
        ("postgres://u:hunter2@127.0.0.1:1/db", StorageErrorKind::NotApplied),
        ("postgres://u:hunter2@[", StorageErrorKind::Configuration),
        (other_database.as_str(), StorageErrorKind::Configuration),
        (wrong_user.as_str(), StorageErrorKind::Configuration),
    ];
    for (url, kind) in cases {
        let error = PostgresStorage::connect(url).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{error:?}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn read_only_server_refuses_and_nothing_is_lost() {
    let (_, storage, direct) = database().await;
    let options = (*direct.connect_options()).clone();
    let options = options.options([("default_transaction_read_only", "on")]);
    let reader = sqlx::PgPool::connect_with(options).await.unwrap();
    let error = PostgresStorage::new(reader).claim(&claim(&fresh_key())).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    run_once(&storage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn server_that_comes_back_is_used_again_with_its_records() {
    let mut server = SqlServer::start(Product::Postgres);
    let storage = PostgresStorage::connect(server.url()).await.unwrap();
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
    assert!(matches!(answer.unwrap(), idem_runtime::storage::Claimed::Replay(_)));
}
