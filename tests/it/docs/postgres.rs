//! Settings of Postgres and of the poolers before it.

use idem_runtime::storage::PostgresStorage;
use idem_runtime::{Error, Idempotency};
use testkit::sql::{PgBouncer, Product, SqlServer, query};

use super::rights::LeastRights;

/// The settings are the table's, and records are written as before.
pub(super) async fn vacuum_by_rows(statement: &str) {
    let user = LeastRights::on(Product::Postgres).await;
    query(&user.migrator, statement).unwrap();
    let options =
        "SELECT array_length(reloptions, 1) FROM pg_class WHERE relname = 'idempotency_records'";
    assert_eq!(query(&user.migrator, options).unwrap(), "4");
    calls_once(PostgresStorage::connect(&user.app).await.unwrap()).await;
}

/// A pooler with these lines, which follows no prepared statements, and few connections for many callers.
pub(super) async fn through_pgbouncer(lines: &str) {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    PostgresStorage::connect(server.url()).await.unwrap().migrate().await.unwrap();
    let lines = lines.strip_prefix("[pgbouncer]\n").unwrap();
    let bouncer = PgBouncer::with_settings(&server, 2, lines);
    let builder = PostgresStorage::builder().prepared_statements(false);
    calls_once(builder.connect(bouncer.url()).await.unwrap()).await;
}

async fn calls_once(storage: PostgresStorage) {
    let idem = Idempotency::new(storage).unwrap();
    let call = async |key: String| {
        let body = async { Ok::<_, Error>(1) };
        idem.operation("charge")
            .key(key.as_str())
            .run_with_outcome(body)
            .await
            .unwrap()
            .is_replayed()
    };
    for number in 0..20 {
        assert!(!call(format!("order-{number}")).await);
    }
    assert!(call("order-0".to_owned()).await);
}
