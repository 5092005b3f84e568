//! Records in MySQL or MariaDB: what [`SqlStorage`] needs of it.

use std::time::Duration;

use sqlx::{Error, MySql};

use super::super::connections::{Lent, Share};
use super::super::database::{Purged, SqlBackend};
use super::super::migrate::Migrations;
use super::super::row::{self, FoundRecord};
use super::super::statement_error::{SendState, StatementError};
use super::super::storage::SqlStorage;
use super::super::table::Table;
use super::arguments;
use super::check;
use super::error::explain;
use super::link::MySqlSession;
use super::migrate;
use super::values::SqlValue;
use super::verbs::{MySqlBackend, key};
use crate::key::RecordKey;
use crate::storage::{Page, StorageError, StorageWarning};

/// Records in MySQL or MariaDB. Clones share its connections and its batches. See the
/// [module](crate::storage::sql).
pub type MySqlStorage = SqlStorage<MySql>;

impl SqlBackend for MySqlBackend {
    type Database = MySql;

    const MIGRATIONS: Migrations = migrate::MIGRATIONS;

    /// The server commits the batches of several connections together.
    const LANES: usize = 2;

    const PURGE_BATCH: usize = row::MAX_PAGE;

    fn table(&self) -> &Table {
        &self.link.table
    }

    fn limit(&self) -> Duration {
        (self.link.patience + self.link.response_timeout) * 2
    }

    fn response_timeout(&self) -> Duration {
        self.link.response_timeout
    }

    async fn acquire(&self) -> Result<Lent<'_, MySql>, StatementError> {
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
        let key = [SqlValue::Bytes(key.as_str().as_bytes())];
        row::loaded(&self.link.fetch(&self.statements.load, &key).await?)
    }

    async fn scan(&self, after: &str, limit: usize) -> Result<Page, StorageError> {
        let values = [SqlValue::Bytes(after.as_bytes()), SqlValue::Integer(row::count(limit))];
        let rows = self.link.fetch(&self.statements.scan, &values).await?;
        row::scanned(&rows, limit, |row| key(row, 1))
    }

    async fn purge(&self, limit: usize) -> Result<Purged, StorageError> {
        let mut session = self.link.session(Share::Claims).await?;
        let most = [SqlValue::Integer(row::count(limit))];
        let rows = session.fetch(&self.statements.expired, &most).await?;
        let keys: Vec<_> = rows.iter().map(|row| key(row, 0)).collect::<Result<_, _>>()?;
        if keys.is_empty() {
            session.give_back();
            return Ok(Purged { found: 0, removed: 0 });
        }
        let removed = self.remove_expired(&mut session, &keys).await;
        session.give_back();
        Ok(Purged { found: keys.len(), removed: removed? })
    }

    async fn try_to_remove(&self, key: &RecordKey) -> Result<(), StorageError> {
        let mut session = self.link.session(Share::Claims).await?;
        let removed = self.remove_expired(&mut session, &[key.as_str().to_owned()]).await;
        session.give_back();
        Ok(removed.map(drop)?)
    }
}

impl MySqlBackend {
    async fn remove_expired(
        &self,
        session: &mut MySqlSession<'_>,
        keys: &[String],
    ) -> Result<u64, StatementError> {
        let (remove, keys) = (&self.statements.claims.remove_expired, arguments::stored_keys(keys));
        session.execute(remove, &[SqlValue::Text(&keys)]).await
    }
}
