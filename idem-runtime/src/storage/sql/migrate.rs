//! Making and upgrading tables, of records and of outboxes, in every database.
//!
//! Migrations are plain `.sql` files beside each database's code, so that applications can run them
//! with a migrator of their own. A table beside the others lists the applied versions.
//!
//! # When tables are made
//!
//! | tables | `connect(url)` | `migrate()` |
//! |---|---|---|
//! | listed as up to date | one read, no lock | one read, no lock |
//! | listed as older, or missing | migrates | migrates |
//! | not listed, and they work | leaves them to the migrator that made them | lists them |
//! | listed as newer, and they work | leaves them as they are | `NewerVersion` |
//! | listed as newer, and they do not work | `NewerVersion` | `NewerVersion` |
//!
//! In a rolling upgrade a process of the older version may restart after the tables are upgraded,
//! so `connect` takes newer tables that work. A storage that is built from the application's pool
//! does not migrate by itself: that pool's user and schema belong to the application. So a user who
//! may not create tables, or a read-only replica, needs tables that are up to date and nothing
//! else.
//!
//! # Concurrency
//!
//! Postgres and SQLite migrate in one transaction, under a lock for which other migrations wait.
//! MySQL commits each statement that changes tables. There the statements may run twice, and a
//! version is listed after all of its statements.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::advisory_lock::advisory_lock;
use super::dialect::Dialect;
use super::table::Table;
use crate::storage::{StorageError, StorageErrorKind};

/// How long a caller waits for a migration. The migration goes on without its caller.
pub(super) const MAX_MIGRATION: Duration = Duration::from_secs(600);

/// How long a migration waits for a lock for which the database does not wait itself.
const MAX_BUSY: Duration = Duration::from_secs(30);

/// A step from one version of the tables to the next.
#[derive(Clone, Copy, Debug)]
pub struct Migration {
    /// The version of the tables afterwards.
    pub version: i64,
    /// The statements, for the default table. They may run twice.
    pub sql: &'static str,
}

/// All versions of a table.
#[derive(Clone, Copy, Debug)]
pub struct Migrations {
    /// The table's name in the statements.
    pub table: &'static str,
    /// From the first version to the last.
    pub steps: &'static [Migration],
}

/// Why tables were not migrated.
#[derive(Debug)]
#[expect(clippy::exhaustive_enums, reason = "not public API")]
pub enum MigrationError {
    /// A statement failed.
    Statement(sqlx::Error),
    /// A newer version of this library has upgraded the tables, to this version.
    NewerVersion(i64),
}

/// The tables have this version, which is newer than all that this library knows.
#[derive(Debug)]
struct NewerVersion(i64);

/// The state of tables, as the table of applied migrations lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListedVersion {
    /// They have the last version.
    UpToDate,
    /// They lack migrations.
    Older,
    /// A newer version of this library has upgraded them, to this version.
    Newer(i64),
    /// There is no list, or this user may not read it.
    Unlisted,
}

impl Migrations {
    /// The migrations after version `applied`.
    fn pending(&self, applied: Option<i64>) -> Result<&'static [Migration], NewerVersion> {
        let applied = applied.unwrap_or(0);
        if self.steps.last().is_none_or(|last| last.version < applied) {
            return Err(NewerVersion(applied));
        }
        let first = self.steps.partition_point(|migration| migration.version <= applied);
        Ok(&self.steps[first..])
    }
}

/// Reads which migrations are applied, without a lock.
///
/// # Errors
///
/// Those of a connection that broke.
pub(super) async fn listed<DB: Dialect>(
    connection: &mut DB::Connection,
    table: &Table,
    migrations: Migrations,
) -> sqlx::Result<ListedVersion> {
    match version::<DB>(connection, &table.migrations()).await {
        Ok(None) => Ok(ListedVersion::Older),
        Ok(applied) => match migrations.pending(applied) {
            Ok([]) => Ok(ListedVersion::UpToDate),
            Ok(_) => Ok(ListedVersion::Older),
            Err(NewerVersion(applied)) => Ok(ListedVersion::Newer(applied)),
        },
        Err(error @ sqlx::Error::Database(_)) if !DB::is_busy(&error) => {
            Ok(ListedVersion::Unlisted)
        }
        Err(error) => Err(error),
    }
}

/// Makes the tables, or upgrades them. Where it fails, the connection may be inside a transaction.
///
/// # Errors
///
/// [`MigrationError::NewerVersion`], and those of statements.
pub async fn migrate<DB: Dialect>(
    connection: &mut DB::Connection,
    table: &Table,
    migrations: Migrations,
) -> Result<(), MigrationError> {
    match listed::<DB>(connection, table, migrations).await? {
        ListedVersion::UpToDate => return Ok(()),
        ListedVersion::Newer(applied) => return Err(NewerVersion(applied).into()),
        ListedVersion::Older | ListedVersion::Unlisted => {}
    }
    let list = table.migrations();
    let begin = DB::begin_migration(advisory_lock("migrations", &[&list]));
    run_patiently::<DB>(connection, &begin).await?;
    let create = format!("CREATE TABLE IF NOT EXISTS {list} {}", DB::MIGRATIONS_TABLE);
    DB::run_raw(connection, create).await?;
    let applied = version::<DB>(connection, &list).await?;
    for migration in migrations.pending(applied)? {
        DB::run_raw(connection, table.adapt(migration.sql, migrations.table)).await?;
        DB::run_raw(connection, DB::note_version(&list, migration.version)).await?;
    }
    run_patiently::<DB>(connection, DB::COMMIT).await?;
    Ok(())
}

/// The version of the tables; none before the first migration.
async fn version<DB: Dialect>(
    connection: &mut DB::Connection,
    list: &str,
) -> sqlx::Result<Option<i64>> {
    // `max` would be null in an empty table.
    let newest = format!("SELECT version FROM {list} ORDER BY version DESC LIMIT 1");
    let newest = DB::run_raw(connection, newest).await?;
    newest.first().map(|row| DB::integer(row, 0)).transpose()
}

/// Runs statements, again while another connection holds a lock.
async fn run_patiently<DB: Dialect>(
    connection: &mut DB::Connection,
    sql: &str,
) -> sqlx::Result<()> {
    let deadline = Instant::now() + MAX_BUSY;
    loop {
        match DB::run_raw(connection, sql.to_owned()).await {
            Err(error) if DB::is_busy(&error) && Instant::now() < deadline => {
                sleep(Duration::from_millis(fastrand::u64(1..=10))).await;
            }
            answer => return answer.map(drop),
        }
    }
}

impl From<sqlx::Error> for MigrationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Statement(error)
    }
}

impl From<NewerVersion> for MigrationError {
    fn from(NewerVersion(applied): NewerVersion) -> Self {
        Self::NewerVersion(applied)
    }
}

/// The text for tables that a newer version of this library has upgraded.
pub fn newer_version(applied: i64) -> String {
    format!(
        "the tables have version {applied}, which this version of the library does not know: upgrade it"
    )
}

/// The error of a storage's migration; `explain` is for those of statements.
pub(super) fn explain(
    error: MigrationError,
    explain: impl FnOnce(sqlx::Error) -> StorageError,
) -> StorageError {
    match error {
        MigrationError::Statement(error) => explain(error),
        MigrationError::NewerVersion(applied) => {
            StorageError::new(StorageErrorKind::NewerVersion, newer_version(applied))
        }
    }
}

/// The text for a storage without tables. `file` names the statements.
pub(super) fn missing(table: &Table, file: &str) -> String {
    format!(
        "the table {table} does not exist: call `migrate()` once before the storage is used, or run {file}"
    )
}

/// The text for a storage whose tables lack columns.
pub(super) fn other_columns(table: &Table) -> String {
    format!("the table {table} has other columns than this version needs: call `migrate()`")
}

/// The text for a user who may not create or change the tables.
#[cfg(any(feature = "postgres", feature = "mysql"))]
pub(super) fn may_not(table: &Table, right: &str, file: &str) -> String {
    format!(
        "this user may not create or change the table {table}: grant {right}, or let a user who has that right call `migrate()` once or run {file}"
    )
}

#[cfg(test)]
mod tests {
    use super::{Migration, Migrations, NewerVersion};

    #[test]
    fn pending_migrations_follow_the_applied_one() {
        const STEPS: [Migration; 3] = [
            Migration { version: 1, sql: "" },
            Migration { version: 2, sql: "" },
            Migration { version: 5, sql: "" },
        ];
        let migrations = Migrations { table: "t", steps: &STEPS };
        let pending = |applied| match migrations.pending(applied) {
            Ok(pending) => Ok(pending.iter().map(|step| step.version).collect::<Vec<_>>()),
            Err(NewerVersion(version)) => Err(version),
        };
        assert_eq!(pending(None), Ok(vec![1, 2, 5]));
        assert_eq!(pending(Some(1)), Ok(vec![2, 5]));
        assert_eq!(pending(Some(5)), Ok(vec![]));
        assert_eq!(pending(Some(6)), Err(6));
    }
}
