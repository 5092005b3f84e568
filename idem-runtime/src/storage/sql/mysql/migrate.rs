//! Migrations of a MySQL or MariaDB database.

use sqlx::MySql;

use super::super::dialect::{Dialect, raw_statements};
use super::super::migrate::{self, Migration, Migrations};
use super::super::table::{DEFAULT_TABLE, Table};
use super::error::{number, on_statement};
use crate::storage::StorageError;

pub(super) const MIGRATIONS: Migrations = Migrations {
    table: DEFAULT_TABLE,
    steps: &[Migration { version: 1, sql: include_str!("0001_records.sql") }],
};

impl Dialect for MySql {
    const MIGRATIONS_TABLE: &'static str = "(version bigint NOT NULL PRIMARY KEY, \
         applied_at timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP) ENGINE = InnoDB";

    /// As the sessions of storages and outboxes have it.
    const COMMIT: &'static str = "COMMIT; SET SESSION lock_wait_timeout = 1";

    raw_statements!();

    /// Others' use of a table is waited for. There is no transaction, which would not survive the
    /// statements, and a lock would be part of the session: migrations may run side by side
    /// instead.
    fn begin_migration(_lock: i64) -> String {
        "SET SESSION lock_wait_timeout = 600".to_owned()
    }

    fn note_version(migrations: &str, version: i64) -> String {
        format!(
            "INSERT INTO {migrations} (version) VALUES ({version}) \
             ON DUPLICATE KEY UPDATE version = {migrations}.version"
        )
    }
}

/// The error of a statement of a migration, which needs rights that no verb needs.
pub(super) fn explain(error: sqlx::Error, table: &Table) -> StorageError {
    let fault = on_statement(error, table);
    let is_of_rights = number(&fault).is_some_and(|number| [1044, 1142, 1227].contains(&number));
    let error = StorageError::from(fault);
    if !is_of_rights {
        return error;
    }
    let right = "CREATE, ALTER, INDEX, INSERT and SELECT on the database";
    let file = "the statements of `idempotency::storage::sql::MYSQL_SCHEMA`";
    error.with_text(migrate::may_not(table, right, file))
}
