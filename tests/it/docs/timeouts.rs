//! What docs/deploying.md says of connections and of the databases' timeouts.

use std::time::Duration;

use idem_runtime::storage::{MySqlStorage, PostgresStorage, RedisStorage};
use idem_runtime::{Error, Idempotency};
use sqlx::{Connection, MySqlConnection, PgConnection, PgPool};
use testkit::redis::RedisServer;
use testkit::sql::{Product, SqlServer, query};

use super::rights::LeastRights;
use crate::stage::in_time;

/// The statements with another number in the place of the page's, so that a test need not wait for so long.
fn shortened(statements: &str, page: &str, short: &str) -> String {
    assert!(statements.contains(page), "{statements}");
    statements.replace(page, short)
}

/// A process that stands still inside of a transaction with `tx` holds its key until the server ends its session.
pub(super) async fn of_postgres(statements: &str) {
    // The settings are the role's, in all databases.
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let user = LeastRights::at(Product::Postgres, server.url()).await;
    query(&user.admin, &shortened(statements, "'60s'", "'3s'")).unwrap();
    for (setting, expected) in [
        ("idle_in_transaction_session_timeout", "3s"),
        ("tcp_keepalives_idle", "30"),
        ("tcp_keepalives_interval", "10"),
        ("tcp_keepalives_count", "3"),
    ] {
        assert_eq!(query(&user.app, &format!("SHOW {setting}")).unwrap(), expected);
    }
    let pool = PgPool::connect(&user.app).await.unwrap();
    let idem = Idempotency::new(PostgresStorage::new(pool)).unwrap();
    let mut stopped = PgConnection::connect(&user.app).await.unwrap();
    let mut tx = stopped.begin().await.unwrap();
    let operation = || async |_: &mut _| Ok::<_, Error>(1);
    let within = idem.in_transaction(&mut tx).operation("op").key("k").run(operation());
    assert_eq!(within.await.unwrap(), 1);
    // Nobody waits for an open transaction that does not end.
    let again = || {
        idem.operation("op").key("k").wait(Duration::from_secs(20)).run(async { Ok::<_, Error>(2) })
    };
    assert_eq!(in_time(again()).await.unwrap(), 2);
    assert!(sqlx::query("SELECT 1").execute(&mut *tx).await.is_err());
}

/// Likewise.
pub(super) async fn of_mysql(statement: &str) {
    let user = LeastRights::on(Product::MySql).await;
    let short = shortened(statement, "60", "3");
    let idem = Idempotency::new(MySqlStorage::connect(&user.app).await.unwrap()).unwrap();
    let mut stopped = MySqlConnection::connect(&user.app).await.unwrap();
    sqlx::raw_sql(sqlx::AssertSqlSafe(short)).execute(&mut stopped).await.unwrap();
    let mut tx = stopped.begin().await.unwrap();
    let body = async |_: &mut _| Ok::<_, Error>(1);
    let within = idem.in_transaction(&mut tx).operation("op").key("k").run(body);
    assert_eq!(within.await.unwrap(), 1);
    let again = idem.operation("op").key("k").wait(Duration::from_secs(20));
    assert_eq!(in_time(again.run(async { Ok::<_, Error>(2) })).await.unwrap(), 2);
    assert!(sqlx::query("SELECT 1").execute(&mut *tx).await.is_err());
}

/// Calls of many kinds at once, with duplicates that wait in another handle.
async fn calls(handles: [Idempotency; 2]) {
    let call = |number: usize| {
        let idem = &handles[number % 2];
        let key = format!("order-{}", number / 2);
        let call = idem.operation("charge").key(key.as_str()).wait(Duration::from_secs(20));
        call.run(async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            Ok::<_, Error>(1)
        })
    };
    let all = futures_util::future::try_join_all((0..200).map(call));
    assert_eq!(in_time(all).await.unwrap().len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_has_no_more_connections_than_the_page_says() {
    let server = RedisServer::start();
    let connect = async || RedisStorage::connect(server.url()).await.unwrap();
    let handles =
        [connect().await, connect().await].map(|storage| Idempotency::new(storage).unwrap());
    calls(handles.clone()).await;
    let clients: String = server.query(&["CLIENT", "LIST"]);
    // One of them is this question's own.
    let connections = clients.lines().count() - 1;
    assert!((6..=2 * 4).contains(&connections), "{clients}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_has_no_more_connections_than_the_page_says() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let storage = PostgresStorage::connect(server.url()).await.unwrap();
    storage.migrate().await.unwrap();
    let handles =
        [storage.clone(), storage.clone()].map(|storage| Idempotency::new(storage).unwrap());
    calls(handles).await;
    let others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()";
    let connections: u32 = server.query(others).parse().unwrap();
    assert!((1..=6).contains(&connections), "{connections}");
}
