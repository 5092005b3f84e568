//! What a database brings to the storage that all databases share.

use std::time::Duration;

use sqlx::Error;
use sqlx::pool::PoolOptions;

use super::connections::{Address, Lent};
use super::dialect::Dialect;
use super::group::RunsBatch;
use super::migrate::Migrations;
use super::row::FoundRecord;
use super::statement_error::{SendState, StatementError};
use super::table::{Quote, Table};
use super::wakeups::Polls;
use crate::key::RecordKey;
use crate::storage::{Claim, Complete, Page, Release, Renew, StorageError, StorageWarning};

/// A database with a storage: Postgres, MySQL, SQLite.
pub(crate) trait SqlDatabase: Dialect {
    /// Its name in logs, metrics and errors.
    const BACKEND: &'static str;

    /// How it quotes names.
    const QUOTE: Quote;

    /// Connections of a storage unless the builder says otherwise.
    const CONNECTIONS: u32;

    /// What runs its statements.
    type Backend: SqlBackend<Database = Self>;

    /// Statements on `table`, over connections that are opened at `address` when they are needed.
    fn backend(
        options: &SqlOptions,
        pool: PoolOptions<Self>,
        address: impl Fn() -> Address<Self> + Send + Sync + 'static,
        table: Table,
    ) -> Self::Backend;
}

/// The options of a storage.
#[derive(Clone, Debug)]
pub(crate) struct SqlOptions {
    pub(super) schema: Option<String>,
    pub(super) table: String,
    pub(super) connections: u32,
    pub(super) connection_timeout: Duration,
    pub(super) response_timeout: Duration,
    #[cfg(feature = "postgres")]
    pub(super) prepared_statements: bool,
}

/// Runs the statements of one database. Every future runs on the [driver](crate::driver).
pub(crate) trait SqlBackend:
    RunsBatch<Claim> + RunsBatch<Renew> + RunsBatch<Complete> + RunsBatch<Release> + Polls
{
    /// Whose statements it runs.
    type Database: Dialect;

    /// The migrations of the storage's tables.
    const MIGRATIONS: Migrations;

    /// Batches of claims, and of completions, that are under way at once.
    const LANES: usize = 1;

    /// Most records that one [`purge`](Self::purge) looks at.
    const PURGE_BATCH: usize = usize::MAX;

    /// Whether the database has users with rights.
    const HAS_RIGHTS: bool = true;

    /// The storage's tables.
    fn table(&self) -> &Table;

    /// How long the caller of a verb waits for the driver.
    fn limit(&self) -> Duration;

    /// How long an answer of the database may take.
    fn response_timeout(&self) -> Duration;

    /// A connection of the storage's own, with the settings on which statements rely.
    fn acquire(
        &self,
    ) -> impl Future<Output = Result<Lent<'_, Self::Database>, StatementError>> + Send;

    /// Classifies an error of the client or the server.
    fn explain(&self, error: Error, send_state: SendState) -> StatementError;

    /// The error of a statement of a migration.
    fn explain_migration(&self, error: Error) -> StorageError {
        self.explain(error, SendState::Sent).into()
    }

    /// The settings under which records can be lost.
    fn warnings(&self) -> impl Future<Output = Result<Vec<StorageWarning>, StorageError>> + Send;

    /// Reads a record.
    fn load(&self, key: &RecordKey) -> impl Future<Output = FoundRecord> + Send;

    /// Reads up to `limit` records behind a key.
    fn scan(
        &self,
        after: &str,
        limit: usize,
    ) -> impl Future<Output = Result<Page, StorageError>> + Send;

    /// Removes up to `limit` expired records.
    fn purge(&self, limit: usize) -> impl Future<Output = Result<Purged, StorageError>> + Send;

    /// Runs the statement that removes expired records, for a key that has none: see
    /// [`tried`](super::trial). A purge of no rows unless the database needs another statement.
    fn try_to_remove(
        &self,
        _key: &RecordKey,
    ) -> impl Future<Output = Result<(), StorageError>> + Send {
        async { self.purge(0).await.map(drop) }
    }
}

/// The result of a purge.
pub(crate) struct Purged {
    /// Expired records that it found.
    pub(crate) found: usize,
    /// Records that it removed: others may remove some of those that it found.
    pub(crate) removed: u64,
}
