//! When tables are made: by `connect` where they are missing or older, and by nothing else.

use std::sync::atomic::{AtomicUsize, Ordering};

use idem_runtime::storage::sql::{MYSQL_SCHEMA, POSTGRES_SCHEMA};
use idem_runtime::storage::{
    MySqlStorage, PostgresStorage, SharedStorage, StorageError, StorageErrorKind,
};
use idem_runtime::{Error, Idempotency};
use testkit::sql::{Product, query, shared};
use tokio::task::JoinSet;

use super::own::{Database, Kind, on_every_database};
use crate::stage::BUSY;

on_every_database!(
    connect_makes_missing_tables,
    processes_that_connect_at_once_make_the_tables_once,
    tables_of_another_migrator_are_used_as_they_are,
    older_tables_are_upgraded,
    newer_tables_are_used_where_they_work,
);

/// What the table of applied migrations lists; none where there is no such table.
async fn versions(database: &Database) -> Option<Vec<i64>> {
    let list = "SELECT version FROM idempotency_records_migrations ORDER BY version";
    macro_rules! read {
        ($pool:ty) => {{
            let pool = <$pool>::connect(&database.url).await.unwrap();
            let versions = sqlx::query_scalar(list).fetch_all(&pool).await.ok();
            pool.close().await;
            versions
        }};
    }
    match database.kind {
        Kind::Postgres => read!(sqlx::PgPool),
        Kind::MySql => read!(sqlx::MySqlPool),
        Kind::Sqlite => read!(sqlx::SqlitePool),
    }
}

async fn runs_once(idem: &Idempotency) {
    let runs = AtomicUsize::new(0);
    let key = super::fresh_key().as_str().to_owned();
    for _ in 0..2 {
        let body = async { Ok::<_, Error>(runs.fetch_add(1, Ordering::SeqCst)) };
        assert_eq!(idem.operation("charge").key(key.clone()).run(body).await.unwrap(), 0);
    }
    assert_eq!(runs.into_inner(), 1);
}

async fn connect_makes_missing_tables(kind: Kind) {
    let database = Database::empty(kind);
    runs_once(&Idempotency::connect(&database.url).await.unwrap()).await;
    assert_eq!(versions(&database).await, Some(vec![1]));
    runs_once(&database.handle().await).await;
}

async fn processes_that_connect_at_once_make_the_tables_once(kind: Kind) {
    let database = Database::empty(kind);
    let mut processes = JoinSet::new();
    for _ in 0..6 {
        let database = database.clone();
        processes.spawn(async move { runs_once(&database.handle().await).await });
    }
    processes.join_all().await;
    assert_eq!(versions(&database).await, Some(vec![1]));
}

async fn tables_of_another_migrator_are_used_as_they_are(kind: Kind) {
    let database = Database::empty(kind);
    database.run(kind.schema()).await;
    runs_once(&database.handle().await).await;
    assert_eq!(versions(&database).await, None);
    database.migrate().await.unwrap();
    assert_eq!(versions(&database).await, Some(vec![1]));
}

async fn older_tables_are_upgraded(kind: Kind) {
    let database = Database::migrated(kind).await;
    database.run("DELETE FROM idempotency_records_migrations").await;
    database.run("DROP TABLE idempotency_records").await;
    runs_once(&database.handle().await).await;
    assert_eq!(versions(&database).await, Some(vec![1]));
}

/// In a rolling upgrade a process of the older version may restart.
async fn newer_tables_are_used_where_they_work(kind: Kind) {
    let database = Database::migrated(kind).await;
    database.run("INSERT INTO idempotency_records_migrations (version) VALUES (99)").await;
    runs_once(&database.handle().await).await;
    let error = database.migrate().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NewerVersion, "{error}");

    database.run("ALTER TABLE idempotency_records RENAME TO moved").await;
    let error = Idempotency::connect(&database.url).await.unwrap_err();
    assert!(error.to_string().contains("version 99"), "{error}");
    assert!(!error.is_retryable());
    assert_eq!(versions(&database).await, Some(vec![1, 99]));
}

/// A user who may read and write every table of a database, and create none.
fn writer(product: Product, admin: &str) -> String {
    let name = admin.rsplit('/').next().unwrap();
    let role = format!("writer_{name}");
    let (make, password) = match product {
        Product::Postgres => (
            format!(
                "CREATE ROLE {role} LOGIN PASSWORD 'secret'; REVOKE CREATE ON SCHEMA public FROM PUBLIC; \
                 ALTER DEFAULT PRIVILEGES GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}"
            ),
            ":secret",
        ),
        Product::MySql => (format!("CREATE USER {role}@'%' IDENTIFIED BY ''"), ""),
    };
    query(admin, &make).unwrap();
    if product == Product::MySql {
        let grant = format!("GRANT SELECT, INSERT, UPDATE, DELETE ON {name}.* TO {role}@'%'");
        query(admin, &grant).unwrap();
    }
    let (scheme, rest) = admin.split_once("://").unwrap();
    format!("{scheme}://{role}{password}@{}", rest.split_once('@').unwrap().1)
}

async fn connect(product: Product, url: &str) -> Result<SharedStorage, StorageError> {
    Ok(match product {
        Product::Postgres => SharedStorage::new(
            PostgresStorage::builder().connection_timeout(BUSY).connect(url).await?,
        ),
        Product::MySql => {
            SharedStorage::new(MySqlStorage::builder().connection_timeout(BUSY).connect(url).await?)
        }
    })
}

async fn a_user_who_may_create_nothing_needs_tables_alone(product: Product) {
    let schema = match product {
        Product::Postgres => ("POSTGRES_SCHEMA", POSTGRES_SCHEMA),
        Product::MySql => ("MYSQL_SCHEMA", MYSQL_SCHEMA),
    };
    let admin = shared(product).new_database();
    let url = writer(product, &admin);
    let error = connect(product, &url).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error}");
    for hint in ["may not create", "migrate()", schema.0] {
        assert!(error.to_string().contains(hint), "{hint}: {error}");
    }
    // Made by the application's migrator, which leaves no list of ours.
    query(&admin, schema.1).unwrap();
    runs_once(&Idempotency::new(connect(product, &url).await.unwrap()).unwrap()).await;
    // Made by a user who may.
    connect(product, &admin).await.unwrap();
    query(&admin, "DROP TABLE idempotency_records").unwrap();
    let migrator = connect(product, &admin).await.unwrap();
    runs_once(&Idempotency::new(migrator).unwrap()).await;
    runs_once(&Idempotency::new(connect(product, &url).await.unwrap()).unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_postgres_who_may_create_nothing_needs_tables_alone() {
    a_user_who_may_create_nothing_needs_tables_alone(Product::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_user_of_mysql_who_may_create_nothing_needs_tables_alone() {
    a_user_who_may_create_nothing_needs_tables_alone(Product::MySql).await;
}

/// A read does not wait for a writer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connecting_to_tables_that_are_up_to_date_takes_no_lock() {
    let database = Database::migrated(Kind::Sqlite).await;
    let pool = sqlx::SqlitePool::connect(&database.url).await.unwrap();
    let writer = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    database.storage().await;
    writer.rollback().await.unwrap();
}
