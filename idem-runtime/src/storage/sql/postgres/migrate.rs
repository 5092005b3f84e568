//! Migrations of a Postgres database.

use sqlx::Postgres;
use sqlx::error::DatabaseError;

use super::super::dialect::{Dialect, raw_statements};
use super::super::migrate::{self, Migration, Migrations};
use super::super::table::{DEFAULT_TABLE, Table};
use super::error::on_statement;
use crate::storage::StorageError;

pub(super) const MIGRATIONS: Migrations = Migrations {
    table: DEFAULT_TABLE,
    steps: &[Migration { version: 1, sql: include_str!("0001_records.sql") }],
};

impl Dialect for Postgres {
    const MIGRATIONS_TABLE: &'static str =
        "(version bigint PRIMARY KEY, applied_at timestamptz NOT NULL DEFAULT now())";

    raw_statements!();

    /// Other migrations are waited for, and a large table takes its time. After the wait the
    /// transaction has to see what the other migration has committed.
    fn begin_migration(lock: i64) -> String {
        format!(
            "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = 0; \
             SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
             SELECT pg_advisory_xact_lock({lock})"
        )
    }

    fn note_version(migrations: &str, version: i64) -> String {
        format!("INSERT INTO {migrations} (version) VALUES ({version})")
    }
}

/// The error of a statement of a migration, which needs rights that no verb needs.
pub(super) fn explain(error: sqlx::Error, table: &Table) -> StorageError {
    let code = error.as_database_error().and_then(DatabaseError::code);
    let is_of_rights = code.as_deref() == Some("42501");
    let error = StorageError::from(on_statement(error, table));
    if !is_of_rights {
        return error;
    }
    let file = "the statements of `idempotency::storage::sql::POSTGRES_SCHEMA`";
    error.with_text(migrate::may_not(table, "CREATE and USAGE on its schema", file))
}
