//! What a database brings to the storage that all databases share.

use std::time::Duration;

use sqlx::Database;

use super::connections::Lent;
use super::dialect::Dialect;
use super::group::Runs;
use super::migrate::Migrations;
use super::row::Found;
use super::statement_error::StatementError;
use super::table::Table;
use super::wakeups::Polls;
use crate::key::RecordKey;
use crate::storage::{Claim, Complete, Page, Release, Renew, StorageError, StorageWarning};

/// A database with a storage: Postgres, MySQL, SQLite.
pub(crate) trait SqlDatabase: Database {
    /// Its name in logs, metrics and errors.
    const BACKEND: &'static str;

    /// What runs its statements.
    type Backend: SqlBackend;
}

/// Runs the statements of one database. Every future runs on the [driver](crate::driver).
pub(crate) trait SqlBackend:
    Runs<Claim> + Runs<Renew> + Runs<Complete> + Runs<Release> + Polls
{
    /// Whose statements it runs.
    type Database: Dialect;

    /// The migrations of the storage's tables.
    const MIGRATIONS: Migrations;

    /// Batches of claims, and of completions, that are under way at once.
    const LANES: usize = 1;

    /// Most records that one [`purge`](Self::purge) looks at.
    const PURGE_BATCH: usize = usize::MAX;

    /// Whether the database has users, who may do one thing and not another.
    const HAS_RIGHTS: bool = true;

    /// The storage's tables.
    fn table(&self) -> &Table;

    /// How long the caller of a verb waits for what runs on the driver.
    fn limit(&self) -> Duration;

    /// A connection of the storage's own, with the settings on which statements rely.
    fn acquire(
        &self,
    ) -> impl Future<Output = Result<Lent<'_, Self::Database>, StatementError>> + Send;

    /// The error of a statement of a migration.
    fn explain_migration(&self, error: sqlx::Error) -> StorageError;

    /// The settings under which records can be lost.
    fn warnings(&self) -> impl Future<Output = Result<Vec<StorageWarning>, StorageError>> + Send;

    /// Reads a record.
    fn load(&self, key: &RecordKey) -> impl Future<Output = Found> + Send;

    /// Reads up to `limit` records behind a key.
    fn scan(
        &self,
        after: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Page, StorageError>> + Send;

    /// Removes up to `limit` expired records.
    fn purge(&self, limit: usize) -> impl Future<Output = Result<Purged, StorageError>> + Send;

    /// Runs the statement that removes expired records, for a key that has none: see
    /// [`tried`](super::trial).
    fn try_to_remove(
        &self,
        key: &RecordKey,
    ) -> impl Future<Output = Result<(), StorageError>> + Send;
}

/// What a purge has done.
pub(crate) struct Purged {
    /// Expired records that it found.
    pub(crate) found: usize,
    /// Records that it removed: others may remove some of those that it found.
    pub(crate) removed: u64,
}
