//! Records in MySQL, version 8.0 or later, or in MariaDB, version 10.6 or later.

mod asked;
mod check;
mod completions;
mod connect;
mod error;
mod link;
mod login;
mod migrate;
mod rights;
mod seen;
mod statements;
mod transaction;
mod values;
mod verbs;
mod witness;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::check::MySqlWarning;
pub use self::connect::MySqlBuilder;
pub use self::link::SETTINGS;
use self::values::Value;
use self::verbs::{Backend, get, key};
use super::connections::on_driver;
use super::grouped::Grouped;
use super::row::{read, timestamp};
use super::{janitor, row};
use crate::key::RecordKey;
use crate::record::Record;
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError, StorageWarning,
    Wakeup, Written,
};

/// Batches of claims, and of completions, that are under way at once: the server commits those of several connections together.
const LANES: usize = 2;

/// Records in MySQL or MariaDB. Clones share the pool and what is grouped. See the [module](super).
#[derive(Clone)]
pub struct MySqlStorage(Arc<Grouped<Backend>>);

impl MySqlStorage {
    fn from_backend(backend: Backend) -> Self {
        let limit = backend.link.limit();
        Self(Arc::new(Grouped::new(backend, LANES, limit)))
    }

    /// Makes the tables, or upgrades them. It does nothing where they are up to date, and every process may call it at its start.
    ///
    /// # Errors
    ///
    /// [`NewerVersion`](crate::storage::StorageErrorKind::NewerVersion) where a newer version of this library has been here,
    /// [`Configuration`](crate::storage::StorageErrorKind::Configuration) where the user may not create tables.
    pub async fn migrate(&self) -> Result<(), StorageError> {
        migrate::migrate(Arc::clone(&self.0.backend)).await
    }

    /// Looks for settings under which records can be lost: see [`MySqlWarning`]. [`connect`](Self::connect) does so too, and logs them.
    ///
    /// # Errors
    ///
    /// Those of a server that cannot be reached.
    pub async fn check(&self) -> Result<Vec<MySqlWarning>, StorageError> {
        let backend = Arc::clone(&self.0.backend);
        on_driver(backend.link.limit(), async move { check::check(&backend.link).await }).await
    }

    /// Does something with connections of the storage's own.
    async fn with<T: Send + 'static, F>(
        &self,
        work: impl FnOnce(Arc<Backend>) -> F,
    ) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, StorageError>> + Send + 'static,
    {
        on_driver(self.0.backend.link.limit(), work(Arc::clone(&self.0.backend))).await
    }

    /// Removes expired records every `every`, until `stop` is cancelled; see [`purge`](Storage::purge). Several processes may do so.
    pub fn spawn_janitor(&self, every: Duration, stop: CancellationToken) -> JoinHandle<()> {
        janitor::spawn(self.clone(), every, stop)
    }
}

impl Storage for MySqlStorage {
    fn backend(&self) -> &'static str {
        "mysql"
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
        let key = key.as_str().to_owned();
        let load = async move |backend: Arc<Backend>| {
            let load = &backend.statements.load;
            Ok(backend.link.fetch(load, &[Value::Bytes(key.as_bytes())]).await?)
        };
        let rows = self.with(load).await?;
        let Some(found) = rows.first() else { return Ok(None) };
        read(found, 1, timestamp(get(found, 0)?))
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        let mut removed = 0;
        while removed < limit as u64 {
            let left = usize::try_from(limit as u64 - removed).unwrap_or(usize::MAX);
            let batch = left.min(row::LONGEST_PAGE);
            let purge = async move |backend: Arc<Backend>| backend.purge(batch).await;
            let (found, gone) = self.with(purge).await?;
            removed += gone;
            if found < batch {
                break;
            }
        }
        Ok(removed)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        let after = after.map_or("", |Cursor(key)| key).to_owned();
        let limit = limit.clamp(1, row::LONGEST_PAGE);
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        let scan = async move |backend: Arc<Backend>| {
            let values = [Value::Bytes(after.as_bytes()), Value::Integer(count)];
            Ok(backend.link.fetch(&backend.statements.scan, &values).await?)
        };
        let rows = self.with(scan).await?;
        let found =
            rows.iter().map(|row| Ok((key(row, 1)?, read(row, 2, timestamp(get(row, 0)?)))));
        Ok(row::page(found.collect::<Result<_, StorageError>>()?, limit))
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        Ok(Some(self.0.watch(key)))
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        Ok(self.check().await?.iter().map(StorageWarning::from).collect())
    }
}

impl fmt::Debug for MySqlStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlStorage")
            .field("table", &self.0.backend.link.table)
            .finish_non_exhaustive()
    }
}
