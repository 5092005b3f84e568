//! Making and upgrading the tables.
//!
//! Migrations are plain `.sql` files, beside each database's code, for those who run their own.
//! `migrate()` applies those that a table of ours does not list yet, under a lock, so that all
//! processes of a deployment may call it at once.

use crate::storage::{StorageError, StorageErrorKind};

/// How long the caller of a migration waits for it. It goes on all the same.
pub(super) const LONGEST_MIGRATION: std::time::Duration = std::time::Duration::from_secs(600);

/// A step from one version of the tables to the next.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The version that the tables have afterwards.
    pub version: i64,
    /// Its file: statements that may run again, for the default table's name.
    pub sql: &'static str,
}

/// The migrations that a database lacks whose tables have version `applied`.
///
/// # Errors
///
/// [`StorageErrorKind::NewerVersion`] where the tables are of a newer version than this library
/// knows.
pub fn pending(
    migrations: &'static [Migration],
    applied: Option<i64>,
) -> Result<&'static [Migration], StorageError> {
    let applied = applied.unwrap_or(0);
    if migrations.last().is_none_or(|last| last.version < applied) {
        let message = format!(
            "the tables have version {applied}, which a newer version of this library made"
        );
        return Err(StorageError::new(StorageErrorKind::NewerVersion, message));
    }
    let first = migrations.partition_point(|migration| migration.version <= applied);
    Ok(&migrations[first..])
}

/// Whether tables of this version lack nothing, so that who may only use them need not be able to
/// make them.
pub fn is_up_to_date(migrations: &'static [Migration], applied: Option<i64>) -> bool {
    applied.is_some() && pending(migrations, applied).is_ok_and(<[Migration]>::is_empty)
}

/// The text for a storage that is used without its tables.
pub(super) fn missing(table: &super::table::Table, file: &str) -> String {
    format!(
        "the table {table} is not there: call `migrate()` once before the storage is used, or run {file}"
    )
}

/// The text for a storage whose tables are not those that it knows.
pub(super) fn other_columns(table: &super::table::Table) -> String {
    format!("the table {table} has other columns than this version needs: call `migrate()`")
}

/// The text for a user who may not make or change the tables.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn may_not(table: &super::table::Table, right: &str) -> String {
    format!(
        "this user may not make or change the table {table}: grant {right}, or let a user who has that right call `migrate()` once"
    )
}
