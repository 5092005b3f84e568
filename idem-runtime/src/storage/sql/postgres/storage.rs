//! Records in Postgres: what [`SqlStorage`] needs of it.

use std::sync::Arc;
use std::time::Duration;

use sqlx::Postgres;

use super::super::connections::{Lent, Share};
use super::super::database::{Purged, SqlBackend, SqlDatabase};
use super::super::migrate::Migrations;
use super::super::row::{self, Found};
use super::super::statement_error::StatementError;
use super::super::storage::SqlStorage;
use super::super::table::Table;
use super::check::{self, PostgresWarning};
use super::link::Bound;
use super::migrate;
use super::verbs::Backend;
use crate::key::RecordKey;
use crate::storage::{Page, StorageError, StorageWarning};

/// Records in Postgres. Clones share its connections and its batches. See the
/// [module](crate::storage::sql).
pub type PostgresStorage = SqlStorage<Postgres>;

impl PostgresStorage {
    /// Looks for settings under which records can be lost: see [`PostgresWarning`].
    /// [`connect`](Self::connect) does so too, and logs them.
    ///
    /// # Errors
    ///
    /// Those of a server that cannot be reached.
    pub async fn check(&self) -> Result<Vec<PostgresWarning>, StorageError> {
        self.on_driver(async move |backend: Arc<Backend>| check::check(&backend.link).await).await
    }
}

impl SqlDatabase for Postgres {
    const BACKEND: &'static str = "postgres";

    type Backend = Backend;
}

impl SqlBackend for Backend {
    type Database = Postgres;

    const MIGRATIONS: Migrations = migrate::MIGRATIONS;

    fn table(&self) -> &Table {
        &self.link.table
    }

    fn limit(&self) -> Duration {
        self.link.limit()
    }

    async fn acquire(&self) -> Result<Lent<'_, Postgres>, StatementError> {
        self.link.acquire(Share::Claims).await
    }

    fn explain_migration(&self, error: sqlx::Error) -> StorageError {
        migrate::explain(error, &self.link.table)
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        Ok(check::check(&self.link).await?.iter().map(StorageWarning::from).collect())
    }

    async fn load(&self, key: &RecordKey) -> Found {
        let load = &self.statements.load;
        let rows = self.link.fetch(Share::Claims, load, |query| query.bind(key.as_str())).await?;
        row::loaded(&rows)
    }

    async fn scan(&self, after: &str, limit: usize) -> Result<Page, StorageError> {
        let (scan, most) = (&self.statements.scan, row::count(limit));
        let bind = |query: Bound<'static>| query.bind(after.to_owned()).bind(most);
        let rows = self.link.fetch(Share::Claims, scan, bind).await?;
        row::scanned(&rows, limit, |row| row::get(row, 1))
    }

    async fn purge(&self, limit: usize) -> Result<Purged, StorageError> {
        let (purge, most) = (&self.statements.purge, row::count(limit));
        let rows = self.link.fetch(Share::Claims, purge, |query| query.bind(most)).await?;
        Ok(Purged { found: rows.len(), removed: rows.len() as u64 })
    }

    /// A purge of no rows.
    async fn try_to_remove(&self, _key: &RecordKey) -> Result<(), StorageError> {
        self.purge(0).await.map(drop)
    }
}
