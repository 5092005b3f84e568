//! Making and upgrading the tables of a MySQL database.

use std::sync::Arc;

use sqlx::mysql::MySqlConnection;
use sqlx::{AssertSqlSafe, Row};

use super::super::connections::{Share, on_driver};
use super::super::migrate::{self, LONGEST_MIGRATION, Migration, is_up_to_date, pending};
use super::super::table::Table;
use super::error::{number, on_statement};
use super::link::Link;
use super::verbs::Backend;
use crate::storage::{StorageError, StorageErrorKind};

pub(super) const MIGRATIONS: &[Migration] =
    &[Migration { version: 1, sql: include_str!("0001_records.sql") }];

/// Brings the tables up to date.
///
/// MySQL commits at each statement that changes tables, so there is no transaction around them, and
/// a lock would be part of the session. Both are done without: the statements of a migration may
/// run twice, after one another or side by side, and a version is noted when all of its statements
/// have run.
pub(super) async fn migrate(backend: Arc<Backend>) -> Result<(), StorageError> {
    let task = async move {
        let link = &backend.link;
        let mut session = link.session(Share::Claims).await?;
        // Others' use of a table is waited for. The session is closed afterwards.
        session.run("SET SESSION lock_wait_timeout = 600".to_owned()).await?;
        match apply(session.connection(), link).await {
            Err(error) if error.kind() == StorageErrorKind::Configuration => {
                // Whoever may not make tables finds those that are there.
                let applied = version(session.connection(), &link.table.migrations()).await;
                if is_up_to_date(MIGRATIONS, applied.unwrap_or(None)) { Ok(()) } else { Err(error) }
            }
            applied => applied,
        }
    };
    on_driver(LONGEST_MIGRATION, task).await
}

async fn apply(connection: &mut MySqlConnection, link: &Link) -> Result<(), StorageError> {
    let fault = |error| name_right_to_migrate(error, &link.table);
    let table = link.table.migrations();
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {table} (
             version bigint NOT NULL PRIMARY KEY,
             applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP
         ) ENGINE = InnoDB"
    );
    sqlx::raw_sql(AssertSqlSafe(create)).execute(&mut *connection).await.map_err(fault)?;
    let applied = version(connection, &table).await.map_err(fault)?;
    for migration in pending(MIGRATIONS, applied)? {
        let sql = link.table.adapt(migration.sql);
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut *connection).await.map_err(fault)?;
        let note = format!(
            "INSERT INTO {table} (version) VALUES ({}) ON DUPLICATE KEY UPDATE version = {table}.version",
            migration.version,
        );
        sqlx::raw_sql(AssertSqlSafe(note)).execute(&mut *connection).await.map_err(fault)?;
    }
    Ok(())
}

/// The version of the tables; none where there has been no migration.
async fn version(connection: &mut MySqlConnection, table: &str) -> sqlx::Result<Option<i64>> {
    let newest = format!("SELECT max(version) FROM {table}");
    sqlx::query(AssertSqlSafe(newest)).persistent(false).fetch_one(connection).await?.try_get(0)
}

/// The error of a statement of a migration, which needs rights that no verb needs.
fn name_right_to_migrate(error: sqlx::Error, table: &Table) -> StorageError {
    let fault = on_statement(error, table);
    let is_of_rights = number(&fault).is_some_and(|number| [1044, 1142, 1227].contains(&number));
    let error = StorageError::from(fault);
    if !is_of_rights {
        return error;
    }
    error.with_text(migrate::may_not(
        table,
        "CREATE, ALTER, INDEX, INSERT and SELECT on the database",
    ))
}
