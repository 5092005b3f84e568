//! Records in SQLite, version 3.42 or later.

mod check;
mod connect;
mod error;
mod link;
mod migrate;
mod rights;
mod statements;
mod transaction;
mod verbs;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::check::SqliteWarning;
pub use self::connect::SqliteBuilder;
use self::link::{Bound, Link};
use self::statements::Statements;
use self::verbs::{Backend, get};
use super::connections::{Share, on_driver};
use super::grouped::Grouped;
use super::row::{read, timestamp};
use super::{janitor, row};
use crate::key::RecordKey;
use crate::record::Record;
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError, StorageWarning,
    Wakeup, Written,
};

/// Records in SQLite. Clones share the pool and what is grouped. See the [module](super).
#[derive(Clone)]
pub struct SqliteStorage(Arc<Grouped<Backend>>);

impl SqliteStorage {
    fn from_link(link: Link) -> Self {
        let statements = Statements::new(&link.table);
        let backend = Backend { link, statements };
        Self(Arc::new(Grouped::new(backend, 1, Link::limit())))
    }

    /// Makes the tables, or upgrades them. It does nothing where they are up to date, and every process may call it at its start.
    ///
    /// # Errors
    ///
    /// [`NewerVersion`](crate::storage::StorageErrorKind::NewerVersion) where a newer version of this library has been here,
    /// [`Configuration`](crate::storage::StorageErrorKind::Configuration) where the database is read-only.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        migrate::migrate(Arc::clone(&self.0.backend)).await
    }

    /// Looks for settings under which records can be lost: see [`SqliteWarning`].
    ///
    /// # Errors
    ///
    /// [`Configuration`](crate::storage::StorageErrorKind::Configuration) where this SQLite is too old.
    pub async fn check(&self) -> Result<Vec<SqliteWarning>, StorageError> {
        let backend = Arc::clone(&self.0.backend);
        on_driver(Link::limit(), async move { check::check(&backend.link).await }).await
    }

    /// Removes expired records every `every`, until `stop` is cancelled; see [`purge`](Storage::purge). Several processes may do so.
    pub fn spawn_janitor(&self, every: Duration, stop: CancellationToken) -> JoinHandle<()> {
        janitor::spawn(self.clone(), every, stop)
    }
}

impl Storage for SqliteStorage {
    fn backend(&self) -> &'static str {
        "sqlite"
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        self.0.claim(claim).await
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        self.0.renew(renewals).await
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        self.0.complete(complete).await
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        self.0.release(release).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        let (backend, key) = (Arc::clone(&self.0.backend), key.as_str().to_owned());
        let task = async move {
            let load = Arc::clone(&backend.statements.load);
            Ok(backend.link.read(Share::Claims, load, |query| query.bind(key.clone())).await?)
        };
        let rows = on_driver(Link::limit(), task).await?;
        let Some(found) = rows.first() else { return Ok(None) };
        read(found, 1, timestamp(get(found, 0)?))
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        let backend = Arc::clone(&self.0.backend);
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let task = async move {
            let purge = Arc::clone(&backend.statements.purge);
            Ok(backend.link.write(Share::Claims, purge, |query| query.bind(limit)).await?)
        };
        let rows = on_driver(Link::limit(), task).await?;
        Ok(rows.len() as u64)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        let backend = Arc::clone(&self.0.backend);
        let after = after.map_or("", |Cursor(key)| key).to_owned();
        let limit = limit.clamp(1, row::LONGEST_PAGE);
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        let task = async move {
            let scan = Arc::clone(&backend.statements.scan);
            let bind = |query: Bound<'static>| query.bind(after.clone()).bind(count);
            Ok(backend.link.read(Share::Claims, scan, bind).await?)
        };
        let rows = on_driver(Link::limit(), task).await?;
        let found =
            rows.iter().map(|row| Ok((get(row, 1)?, read(row, 2, timestamp(get(row, 0)?)))));
        Ok(row::page(found.collect::<Result<_, StorageError>>()?, limit))
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(Some(self.0.watch(key)))
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        Ok(self.check().await?.iter().map(StorageWarning::from).collect())
    }
}

impl fmt::Debug for SqliteStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteStorage")
            .field("table", &self.0.backend.link.table)
            .finish_non_exhaustive()
    }
}
