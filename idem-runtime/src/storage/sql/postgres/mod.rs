//! Records in Postgres, version 13 or later.

mod connect;
mod error;
mod link;
mod migrate;
mod statements;
mod transaction;
mod verbs;
mod witness;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::connect::PostgresBuilder;
use self::verbs::{Backend, get};
use super::grouped::Grouped;
use super::row::{read, timestamp};
use super::{janitor, row};
use crate::key::RecordKey;
use crate::record::Record;
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError, Wakeup, Written,
};

/// Records in Postgres. Clones share the pool and what is grouped. See the [module](super).
#[derive(Clone)]
pub struct PostgresStorage(Arc<Grouped<Backend>>);

impl PostgresStorage {
    fn from_backend(backend: Backend) -> Self {
        Self(Arc::new(Grouped::new(backend, 1)))
    }

    /// Makes the tables, or upgrades them. It does nothing where they are up to date, and every process may call it at its start.
    ///
    /// # Errors
    ///
    /// [`NewerVersion`](crate::storage::StorageErrorKind::NewerVersion) where a newer version of this library has been here,
    /// [`Configuration`](crate::storage::StorageErrorKind::Configuration) where the user may not create tables.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        migrate::migrate(self.0.backend.link.clone()).await
    }

    /// Removes expired records every `every`, until `stop` is cancelled; see [`purge`](Storage::purge). Several processes may do so.
    pub fn spawn_janitor(&self, every: Duration, stop: CancellationToken) -> JoinHandle<()> {
        janitor::spawn(self.clone(), every, stop)
    }
}

impl Storage for PostgresStorage {
    fn backend(&self) -> &'static str {
        "postgres"
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
        let Backend { link, statements } = &*self.0.backend;
        let rows = link.fetch(&statements.load, |query| query.bind(key.as_str())).await?;
        let Some(found) = rows.first() else { return Ok(None) };
        read(found, 1, timestamp(get(found, 0)?))
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        let Backend { link, statements } = &*self.0.backend;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = link.fetch(&statements.purge, |query| query.bind(limit)).await?;
        Ok(rows.len() as u64)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        let Backend { link, statements } = &*self.0.backend;
        let after = after.map_or("", |Cursor(key)| key);
        let limit = limit.clamp(1, row::LONGEST_PAGE);
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows = link.fetch(&statements.scan, |query| query.bind(after).bind(count)).await?;
        let found =
            rows.iter().map(|row| Ok((get(row, 1)?, read(row, 2, timestamp(get(row, 0)?)))));
        Ok(row::page(found.collect::<Result<_, StorageError>>()?, limit))
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(Some(self.0.watch(key)))
    }
}

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStorage")
            .field("table", &self.0.backend.link.table)
            .finish_non_exhaustive()
    }
}
