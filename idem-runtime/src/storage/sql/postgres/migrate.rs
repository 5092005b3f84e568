//! Making and upgrading the tables of a Postgres database.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::super::migrate::{Migration, pending};
use super::error::explain;
use super::link::Link;
use crate::storage::StorageError;

pub(super) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, sql: include_str!("0001_records.sql") }];

/// Brings the tables up to date, in one transaction and under a lock that other migrations wait for.
///
/// It runs in a task of its own: a caller that goes away must not leave a connection inside a transaction.
pub(super) async fn migrate(link: Link) -> Result<(), StorageError> {
    let task = tokio::spawn(async move {
        let acquired = link.pool.acquire().await;
        let mut connection = acquired.map_err(|error| explain(error, false, &link.table).0)?;
        apply(&mut connection, &link).await
    });
    task.await.unwrap_or_else(|error| {
        let message = "the migration was broken off";
        let kind = crate::storage::StorageErrorKind::Indeterminate;
        Err(StorageError::new(kind, message).with_source(error))
    })
}

async fn apply(connection: &mut PgConnection, link: &Link) -> Result<(), StorageError> {
    let fault = |error| StorageError::from(explain(error, true, &link.table).0);
    let table = link.table.migrations();
    let mut transaction = connection.begin().await.map_err(fault)?;

    let lock = BuildHasherDefault::<DefaultHasher>::default().hash_one(&table).cast_signed();
    let locking = format!("SELECT pg_advisory_xact_lock({lock})");
    sqlx::raw_sql(AssertSqlSafe(locking)).execute(&mut *transaction).await.map_err(fault)?;
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {table} (version bigint PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *transaction).await.map_err(fault)?;
    let newest = format!("SELECT max(version) FROM {table}");
    let newest =
        sqlx::query(AssertSqlSafe(newest)).persistent(false).fetch_one(&mut *transaction).await;
    let applied: Option<i64> = newest.and_then(|row| row.try_get(0)).map_err(fault)?;

    for migration in pending(MIGRATIONS, applied)? {
        let sql = link.table.adapt(migration.sql);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await.map_err(fault)?;
        let insert = format!("INSERT INTO {table} (version) VALUES ({})", migration.version);
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *transaction).await.map_err(fault)?;
    }
    transaction.commit().await.map_err(fault)
}
