//! Records in SQLite: what [`SqlStorage`] needs of it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::{Error, Sqlite};

use super::super::connections::{Lent, Share};
use super::super::database::{Purged, SqlBackend};
use super::super::migrate::Migrations;
use super::super::row::{self, FoundRecord};
use super::super::statement_error::{SendState, StatementError};
use super::super::storage::SqlStorage;
use super::super::table::Table;
use super::check;
use super::error::explain;
use super::link::{FileAccess, RESPONSE_TIMEOUT, SqliteQuery};
use super::migrate;
use super::verbs::SqliteBackend;
use crate::key::RecordKey;
use crate::storage::{Page, StorageError, StorageWarning};

/// Records in SQLite. Clones share its connections and its batches. See the
/// [module](crate::storage::sql).
pub type SqliteStorage = SqlStorage<Sqlite>;

/// A commit writes to a file. One that takes longer is on a disk that does not answer.
const COMMIT_TIMEOUT: Duration = Duration::from_secs(60);

impl SqlBackend for SqliteBackend {
    type Database = Sqlite;

    const MIGRATIONS: Migrations = migrate::MIGRATIONS;

    /// A process that may write one row of a file may write all.
    const HAS_RIGHTS: bool = false;

    fn table(&self) -> &Table {
        &self.link.table
    }

    fn limit(&self) -> Duration {
        RESPONSE_TIMEOUT * 2
    }

    fn response_timeout(&self) -> Duration {
        COMMIT_TIMEOUT
    }

    async fn acquire(&self) -> Result<Lent<'_, Sqlite>, StatementError> {
        self.link.acquire(Share::Claims).await
    }

    fn explain(&self, error: Error, send_state: SendState) -> StatementError {
        explain(error, send_state, &self.link.table)
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        check::check(&self.link).await
    }

    async fn load(&self, key: &RecordKey) -> FoundRecord {
        let load = Arc::clone(&self.statements.load);
        let bind = |query: SqliteQuery<'static>| query.bind(key.as_str().to_owned());
        row::loaded(&self.link.fetch(Share::Claims, FileAccess::Read, load, bind).await?)
    }

    async fn scan(&self, after: &str, limit: usize) -> Result<Page, StorageError> {
        let (scan, most) = (Arc::clone(&self.statements.scan), row::count(limit));
        let bind = |query: SqliteQuery<'static>| query.bind(after.to_owned()).bind(most);
        let rows = self.link.fetch(Share::Claims, FileAccess::Read, scan, bind).await?;
        row::scanned(&rows, limit, |row| row::get(row, 1))
    }

    async fn purge(&self, limit: usize) -> Result<Purged, StorageError> {
        let (purge, most) = (Arc::clone(&self.statements.purge), row::count(limit));
        let bind = |query: SqliteQuery<'static>| query.bind(most);
        let rows = self.link.fetch(Share::Claims, FileAccess::Write, purge, bind).await?;
        Ok(Purged { found: rows.len(), removed: rows.len() as u64 })
    }

    async fn try_to_remove(&self, _key: &RecordKey) -> Result<(), StorageError> {
        Ok(())
    }
}
