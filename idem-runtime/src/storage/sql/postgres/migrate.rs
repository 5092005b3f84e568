//! Making and upgrading the tables of a Postgres database.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

use sqlx::error::DatabaseError;
use sqlx::{AssertSqlSafe, Connection, PgConnection, Row};

use super::super::connections::{Share, on_driver};
use super::super::migrate::{self, LONGEST_MIGRATION, Migration, is_up_to_date, pending};
use super::super::table::Table;
use super::error::on_statement;
use super::link::Link;
use super::verbs::Backend;
use crate::storage::{StorageError, StorageErrorKind};

pub(super) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, sql: include_str!("0001_records.sql") }];

/// Brings the tables up to date, in one transaction and under a lock that other migrations wait
/// for.
///
/// It runs in a task of its own: a caller that goes away must not leave a connection inside a
/// transaction.
pub(super) async fn migrate(backend: Arc<Backend>) -> Result<(), StorageError> {
    let task = async move {
        let link = &backend.link;
        let mut lent = link.acquire(Share::Claims).await?;
        match apply(&mut lent.connection, link).await {
            Err(error) if error.kind() == StorageErrorKind::Configuration => {
                // Whoever may not make tables finds those that are there.
                let applied = version(&mut lent.connection, &link.table.migrations()).await;
                if !is_up_to_date(MIGRATIONS, applied.unwrap_or(None)) {
                    return Err(error);
                }
            }
            applied => applied?,
        }
        lent.give_back();
        Ok(())
    };
    on_driver(LONGEST_MIGRATION, task).await
}

async fn apply(connection: &mut PgConnection, link: &Link) -> Result<(), StorageError> {
    let fault = |error| name_right_to_migrate(error, &link.table);
    let table = link.table.migrations();
    let mut transaction = connection.begin().await.map_err(fault)?;
    // Other migrations are waited for, and a large table takes its time.
    let patience = "SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0; \
                    SET LOCAL idle_in_transaction_session_timeout = 0";
    sqlx::raw_sql(patience).execute(&mut *transaction).await.map_err(fault)?;

    let lock = BuildHasherDefault::<DefaultHasher>::default().hash_one(&table).cast_signed();
    let locking = format!("SELECT pg_advisory_xact_lock({lock})");
    sqlx::raw_sql(AssertSqlSafe(locking)).execute(&mut *transaction).await.map_err(fault)?;
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {table} (version bigint PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *transaction).await.map_err(fault)?;
    let applied = version(&mut transaction, &table).await.map_err(fault)?;
    for migration in pending(MIGRATIONS, applied)? {
        let sql = link.table.adapt(migration.sql);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *transaction).await.map_err(fault)?;
        let insert = format!("INSERT INTO {table} (version) VALUES ({})", migration.version);
        sqlx::raw_sql(AssertSqlSafe(insert)).execute(&mut *transaction).await.map_err(fault)?;
    }
    transaction.commit().await.map_err(fault)
}

/// The version of the tables; none where there has been no migration.
async fn version(connection: &mut PgConnection, table: &str) -> sqlx::Result<Option<i64>> {
    let newest = format!("SELECT max(version) FROM {table}");
    sqlx::query(AssertSqlSafe(newest)).persistent(false).fetch_one(connection).await?.try_get(0)
}

/// The error of a statement of a migration, which needs rights that no verb needs.
fn name_right_to_migrate(error: sqlx::Error, table: &Table) -> StorageError {
    let code = error.as_database_error().and_then(DatabaseError::code);
    let is_of_rights = code.as_deref() == Some("42501");
    let error = StorageError::from(on_statement(error, table));
    if !is_of_rights {
        return error;
    }
    error.with_text(migrate::may_not(table, "CREATE and USAGE on its schema"))
}
