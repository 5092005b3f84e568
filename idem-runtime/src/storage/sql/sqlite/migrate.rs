//! Migrations of a SQLite database.

use sqlx::{Error, Sqlite};

use super::super::dialect::{Dialect, raw_statements};
use super::super::migrate::{Migration, Migrations};
use super::super::table::DEFAULT_TABLE;
use super::error::is_busy;

pub(super) const MIGRATIONS: Migrations = Migrations {
    table: DEFAULT_TABLE,
    steps: &[Migration { version: 1, sql: include_str!("0001_records.sql") }],
};

impl Dialect for Sqlite {
    const MIGRATIONS_TABLE: &'static str =
        "(version INTEGER PRIMARY KEY, applied_at TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP)";

    raw_statements!();

    /// The write lock is that of the file, and excludes other migrations.
    fn begin_migration(_lock: i64) -> String {
        "BEGIN IMMEDIATE".to_owned()
    }

    fn note_version(migrations: &str, version: i64) -> String {
        format!("INSERT INTO {migrations} (version) VALUES ({version})")
    }

    fn is_busy(error: &Error) -> bool {
        is_busy(error)
    }
}
