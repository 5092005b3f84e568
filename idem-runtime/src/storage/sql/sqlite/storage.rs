//! Records in SQLite: what [`SqlStorage`] needs of it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Sqlite;

use super::super::connections::{Lent, Share};
use super::super::database::{Purged, SqlBackend, SqlDatabase};
use super::super::migrate::Migrations;
use super::super::row::{self, Found};
use super::super::statement_error::StatementError;
use super::super::storage::SqlStorage;
use super::super::table::Table;
use super::check::{self, SqliteWarning};
use super::error::on_statement;
use super::link::{Bound, Link};
use super::migrate;
use super::verbs::Backend;
use crate::key::RecordKey;
use crate::storage::{Page, StorageError, StorageWarning};

/// Records in SQLite. Clones share its connections and its batches. See the
/// [module](crate::storage::sql).
pub type SqliteStorage = SqlStorage<Sqlite>;

impl SqliteStorage {
    /// Looks for settings under which records can be lost: see [`SqliteWarning`].
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::storage::StorageErrorKind::Configuration) where this SQLite is too
    /// old.
    pub async fn check(&self) -> Result<Vec<SqliteWarning>, StorageError> {
        self.on_driver(async move |backend: Arc<Backend>| check::check(&backend.link).await).await
    }
}

impl SqlDatabase for Sqlite {
    const BACKEND: &'static str = "sqlite";

    type Backend = Backend;
}

impl SqlBackend for Backend {
    type Database = Sqlite;

    const MIGRATIONS: Migrations = migrate::MIGRATIONS;

    /// Who may write one row of a file may write all, and a claim writes one.
    const HAS_RIGHTS: bool = false;

    fn table(&self) -> &Table {
        &self.link.table
    }

    fn limit(&self) -> Duration {
        Link::limit()
    }

    async fn acquire(&self) -> Result<Lent<'_, Sqlite>, StatementError> {
        self.link.acquire(Share::Claims).await
    }

    fn explain_migration(&self, error: sqlx::Error) -> StorageError {
        on_statement(error, &self.link.table).into()
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        Ok(check::check(&self.link).await?.iter().map(StorageWarning::from).collect())
    }

    async fn load(&self, key: &RecordKey) -> Found {
        let load = Arc::clone(&self.statements.load);
        let bind = |query: Bound<'static>| query.bind(key.as_str().to_owned());
        row::loaded(&self.link.read(Share::Claims, load, bind).await?)
    }

    async fn scan(&self, after: &str, limit: usize) -> Result<Page, StorageError> {
        let (scan, most) = (Arc::clone(&self.statements.scan), row::count(limit));
        let bind = |query: Bound<'static>| query.bind(after.to_owned()).bind(most);
        let rows = self.link.read(Share::Claims, scan, bind).await?;
        row::scanned(&rows, limit, |row| row::get(row, 1))
    }

    async fn purge(&self, limit: usize) -> Result<Purged, StorageError> {
        let (purge, most) = (Arc::clone(&self.statements.purge), row::count(limit));
        let rows = self.link.write(Share::Claims, purge, |query| query.bind(most)).await?;
        Ok(Purged { found: rows.len(), removed: rows.len() as u64 })
    }

    async fn try_to_remove(&self, _key: &RecordKey) -> Result<(), StorageError> {
        Ok(())
    }
}
