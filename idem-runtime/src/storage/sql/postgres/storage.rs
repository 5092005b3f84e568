//! Records in Postgres: what [`SqlStorage`] needs of it.

use std::time::Duration;

use sqlx::{Error, Postgres};

use super::super::connections::{Lent, Share};
use super::super::database::{Purged, SqlBackend};
use super::super::migrate::Migrations;
use super::super::row::{self, FoundRecord};
use super::super::statement_error::{SendState, StatementError};
use super::super::storage::SqlStorage;
use super::super::table::Table;
use super::check;
use super::error::explain;
use super::link::PgQuery;
use super::migrate;
use super::verbs::PgBackend;
use crate::key::RecordKey;
use crate::storage::{Page, StorageError, StorageWarning};

/// Records in Postgres. Clones share its connections and its batches. See the
/// [module](crate::storage::sql).
pub type PostgresStorage = SqlStorage<Postgres>;

impl SqlBackend for PgBackend {
    type Database = Postgres;

    const MIGRATIONS: Migrations = migrate::MIGRATIONS;

    fn table(&self) -> &Table {
        &self.link.table
    }

    fn limit(&self) -> Duration {
        (self.link.patience + self.link.response_timeout) * 2
    }

    fn response_timeout(&self) -> Duration {
        self.link.response_timeout
    }

    async fn acquire(&self) -> Result<Lent<'_, Postgres>, StatementError> {
        self.link.acquire(Share::Claims).await
    }

    fn explain(&self, error: Error, send_state: SendState) -> StatementError {
        explain(error, send_state, &self.link.table).0
    }

    fn explain_migration(&self, error: Error) -> StorageError {
        migrate::explain(error, &self.link.table)
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        check::check(&self.link).await
    }

    async fn load(&self, key: &RecordKey) -> FoundRecord {
        let load = &self.statements.load;
        let rows = self.link.fetch(Share::Claims, load, |query| query.bind(key.as_str())).await?;
        row::loaded(&rows)
    }

    async fn scan(&self, after: &str, limit: usize) -> Result<Page, StorageError> {
        let (scan, most) = (&self.statements.scan, row::count(limit));
        let bind = |query: PgQuery<'static>| query.bind(after.to_owned()).bind(most);
        let rows = self.link.fetch(Share::Claims, scan, bind).await?;
        row::scanned(&rows, limit, |row| row::get(row, 1))
    }

    async fn purge(&self, limit: usize) -> Result<Purged, StorageError> {
        let (purge, most) = (&self.statements.purge, row::count(limit));
        let rows = self.link.fetch(Share::Claims, purge, |query| query.bind(most)).await?;
        Ok(Purged { found: rows.len(), removed: rows.len() as u64 })
    }
}
