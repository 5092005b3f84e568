//! What somebody has to change before the storage can work.

use futures_util::future::join_all;
use idem_runtime::Idempotency;
use idem_runtime::storage::{MySqlStorage, Storage, StorageErrorKind};
use sqlx::MySqlPool;
use testkit::sql::{Product, SqlServer, query, shared};

use super::{claim, migrated, replay, result, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_table_says_how_to_make_it() {
    let url = shared(Product::MySql).new_database();
    let storage = MySqlStorage::new(MySqlPool::connect(&url).await.unwrap());
    let error = storage.claim(&claim("key")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration);
    assert!(error.to_string().contains("migrate()"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_addresses_are_told_apart_and_passwords_kept() {
    let server = SqlServer::builder(Product::MySql).without_fsync().start();
    let right = server.url();
    let right = right.strip_suffix("/idem").unwrap();
    for (url, says) in [
        (format!("mysql://idem:hunter2@127.0.0.1:{}/idem", server.port()), "password"),
        (format!("{right}/no_such_database"), "no database of this name"),
        ("mysql://idem:hunter2@127.0.0.1:1/idem".to_owned(), "cannot connect"),
        ("mysql://hunter2@:x/".to_owned(), "not a URL"),
    ] {
        let error = MySqlStorage::connect(&url).await.unwrap_err();
        assert!(error.to_string().contains(says), "{url}: {error}");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let error = MySqlStorage::connect(format!("{right}/")).await.unwrap_err();
    assert!(error.to_string().contains("names no database"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_url_makes_a_handle() {
    let url = migrated().await;
    for url in [url.clone(), url.replace("mysql://", "mariadb://")] {
        let idem = Idempotency::connect(&url).await.unwrap();
        let ttl = std::time::Duration::from_secs(60);
        let once: u32 =
            idem.execute("charge:1", ttl, async { Ok::<_, idem_runtime::Error>(7) }).await.unwrap();
        assert_eq!(once, 7);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_again_or_side_by_side_changes_nothing() {
    let url = shared(Product::MySql).new_database();
    let pool = MySqlPool::connect(&url).await.unwrap();
    let storages = [(); 4].map(|()| MySqlStorage::new(pool.clone()));
    for migrated in join_all(storages.iter().map(MySqlStorage::migrate)).await {
        migrated.unwrap();
    }
    run(&storages[0], "key", vec![1]).await;
    storages[1].migrate().await.unwrap();
    assert_eq!(replay(&storages[2], "key").await, result(vec![1]));
    let versions = "SELECT version FROM idempotency_records_migrations";
    assert_eq!(query(&url, versions).unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_of_a_newer_version_are_left_alone() {
    let url = migrated().await;
    query(&url, "INSERT INTO idempotency_records_migrations (version) VALUES (2)").unwrap();
    let error = MySqlStorage::connect(&url).await.unwrap().migrate().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NewerVersion);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storages_on_other_tables_do_not_see_each_other() {
    let url = migrated().await;
    let other = shared(Product::MySql).new_database();
    let database = other.rsplit('/').next().unwrap();
    let pool = MySqlPool::connect(&url).await.unwrap();
    let builders = [
        MySqlStorage::builder(),
        MySqlStorage::builder().table("Other_Records"),
        MySqlStorage::builder().database(database).table("select"),
    ];
    for (number, builder) in builders.into_iter().enumerate() {
        let storage = builder.build(pool.clone()).unwrap();
        storage.migrate().await.unwrap();
        let number = u8::try_from(number).unwrap();
        run(&storage, "key", vec![number]).await;
        assert_eq!(replay(&storage, "key").await, result(vec![number]));
    }
    assert_eq!(query(&other, "SELECT COUNT(*) FROM `select`").unwrap(), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_server_applies_nothing() {
    let server = SqlServer::builder(Product::MySql).without_fsync().start();
    MySqlStorage::connect(server.url()).await.unwrap().migrate().await.unwrap();
    // Whoever may do everything may write all the same.
    server.query("CREATE USER app@'%' IDENTIFIED BY ''");
    server.query("GRANT SELECT, INSERT, UPDATE, DELETE ON idem.* TO app@'%'");
    server.query("SET GLOBAL read_only = ON");
    let url = format!("mysql://app@127.0.0.1:{}/idem", server.port());
    let storage = MySqlStorage::new(MySqlPool::connect(&url).await.unwrap());
    let error = storage.claim(&claim("key")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error}");
    assert!(error.to_string().contains("read-only"), "{error}");
    server.query("SET GLOBAL read_only = OFF");
    run(&storage, "key", vec![1]).await;
}
