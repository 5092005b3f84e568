//! Records in Postgres, version 13 or later.

mod check;
mod connect;
mod error;
mod link;
mod login;
mod migrate;
mod rights;
mod statements;
mod transaction;
mod verbs;
mod witness;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::PgRow;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub use self::check::PostgresWarning;
pub use self::connect::PostgresBuilder;
use self::link::Bound;
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

/// Records in Postgres. Clones share the pool and what is grouped. See the [module](super).
#[derive(Clone)]
pub struct PostgresStorage(Arc<Grouped<Backend>>);

impl PostgresStorage {
    fn from_backend(backend: Backend) -> Self {
        let limit = backend.link.limit();
        Self(Arc::new(Grouped::new(backend, 1, limit)))
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

    /// Looks for settings under which records can be lost: see [`PostgresWarning`]. [`connect`](Self::connect) does so too, and logs them.
    ///
    /// # Errors
    ///
    /// Those of a server that cannot be reached.
    pub async fn check(&self) -> Result<Vec<PostgresWarning>, StorageError> {
        let backend = Arc::clone(&self.0.backend);
        on_driver(backend.link.limit(), async move { check::check(&backend.link).await }).await
    }

    /// Runs a statement on a connection of the storage's own.
    async fn fetch(
        &self,
        statement: fn(&Statements) -> &Arc<str>,
        bind: impl FnOnce(Bound<'static>) -> Bound<'static> + Send + 'static,
    ) -> Result<Vec<PgRow>, StorageError> {
        let backend = Arc::clone(&self.0.backend);
        let task = async move {
            let Backend { link, statements } = &*backend;
            Ok(link.fetch(Share::Claims, statement(statements), bind).await?)
        };
        on_driver(self.0.backend.link.limit(), task).await
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
        let key = key.as_str().to_owned();
        let rows = self.fetch(|statements| &statements.load, |query| query.bind(key)).await?;
        let Some(found) = rows.first() else { return Ok(None) };
        read(found, 1, timestamp(get(found, 0)?))
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let rows =
            self.fetch(|statements| &statements.purge, move |query| query.bind(limit)).await?;
        Ok(rows.len() as u64)
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        let after = after.map_or("", |Cursor(key)| key).to_owned();
        let limit = limit.clamp(1, row::LONGEST_PAGE);
        let count = i64::try_from(limit).unwrap_or(i64::MAX);
        let bind = move |query: Bound<'static>| query.bind(after).bind(count);
        let rows = self.fetch(|statements| &statements.scan, bind).await?;
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

impl fmt::Debug for PostgresStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresStorage")
            .field("table", &self.0.backend.link.table)
            .finish_non_exhaustive()
    }
}
