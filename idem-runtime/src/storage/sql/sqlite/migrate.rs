//! Making and upgrading the tables of a SQLite database.

use std::sync::Arc;

use sqlx::{AssertSqlSafe, Connection, Row, SqliteConnection};

use super::super::connections::{Share, on_driver};
use super::super::migrate::{LONGEST_MIGRATION, Migration, pending};
use super::error::on_statement;
use super::verbs::Backend;
use crate::storage::StorageError;

pub(super) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, sql: include_str!("0001_records.sql") }];

/// Brings the tables up to date, in one transaction that other writers wait for.
///
/// It runs in a task of its own: a caller that goes away must not leave a connection inside a
/// transaction.
pub(super) async fn migrate(backend: Arc<Backend>) -> Result<(), StorageError> {
    let task = async move {
        let mut lent = backend.link.acquire(Share::Claims).await?;
        let fault = |error| StorageError::from(on_statement(error, &backend.link.table));
        let patience = sqlx::query("PRAGMA busy_timeout = 30000");
        patience.execute(&mut lent.connection).await.map_err(fault)?;
        apply(&mut lent.connection, &backend).await?;
        // A database in memory would go with its last connection.
        let impatience = sqlx::query("PRAGMA busy_timeout = 0");
        impatience.execute(&mut lent.connection).await.map_err(fault)?;
        lent.give_back();
        Ok(())
    };
    on_driver(LONGEST_MIGRATION, task).await
}

async fn apply(connection: &mut SqliteConnection, backend: &Backend) -> Result<(), StorageError> {
    let table = &backend.link.table;
    let fault = |error| StorageError::from(on_statement(error, table));
    let migrations = table.migrations();
    // It has the write lock from its beginning: what it reads of the migrations stays true.
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;

    let create = format!(
        "CREATE TABLE IF NOT EXISTS {migrations}
         (version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *transaction).await.map_err(fault)?;
    let newest = format!("SELECT max(version) FROM {migrations}");
    let newest = sqlx::query(AssertSqlSafe(newest)).fetch_one(&mut *transaction).await;
    let applied: Option<i64> = newest.and_then(|row| row.try_get(0)).map_err(fault)?;

    for migration in pending(MIGRATIONS, applied)? {
        let sql = table.adapt(migration.sql);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await.map_err(fault)?;
        let insert = format!("INSERT INTO {migrations} (version) VALUES ({})", migration.version);
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *transaction).await.map_err(fault)?;
    }
    transaction.commit().await.map_err(fault)
}
