//! Checks of a handle for readiness probes and operators: the storage answers, and its settings are
//! safe.

use std::time::Duration;

use super::handle::Idempotency;
use crate::error::{Error, ErrorKind};
use crate::runtime;
use crate::storage::{Storage, StorageError, StorageErrorKind, StorageWarning};
use crate::sync::time::timeout;

impl Idempotency {
    /// Checks in one round trip that the storage answers: for readiness probes, and at start-up.
    ///
    /// It takes the path of a call's first verb and reads a record that does not exist, so it also
    /// detects missing tables and missing rights to read them. It changes nothing, is not retried,
    /// and ends within the handle's [`claim_timeout`](crate::IdempotencyBuilder::claim_timeout). Of
    /// a Redis Cluster one shard answers.
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), idem_runtime::Error> {
    /// use idempotency::Idempotency;
    ///
    /// let idem = Idempotency::connect("memory:").await?;
    /// match idem.ping().await {
    ///     Ok(()) => println!("ready"),
    ///     Err(error) if error.is_retryable() => println!("not ready yet: {error}"),
    ///     Err(error) => println!("an operator has to change something: {error}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Storage`](ErrorKind::Storage), which is retryable, if the storage cannot be reached or
    /// does not answer in time; [`Configuration`](ErrorKind::Configuration) if an operator has to
    /// change something: a password, a right, a table.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn ping(&self) -> Result<(), Error> {
        let limit = self.0.claim_timeout;
        self.within(limit, self.0.storage.ping()).await
    }

    /// Reads the storage's current settings, and returns those under which records can be lost or
    /// calls are slow. They are not errors, since they may be intended.
    ///
    /// [`connect`](Self::connect) logs them too. A storage on the application's own pool logs
    /// nothing, so call this at start-up.
    ///
    /// | storage | settings |
    /// |---|---|
    /// | Redis, with Sentinel, Cluster | eviction, persistence, the right to wake waiters, settings that the server hides; on each primary |
    /// | Postgres | `synchronous_commit`, `fsync` |
    /// | MySQL, MariaDB | `innodb_flush_log_at_trx_commit`, `sync_binlog` |
    /// | SQLite | its version, `journal_mode`, `synchronous` |
    /// | memory | nothing |
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), idem_runtime::Error> {
    /// use idempotency::Idempotency;
    ///
    /// let idem = Idempotency::connect("memory:").await?;
    /// for warning in idem.warnings().await? {
    ///     eprintln!("{}: {warning}", warning.setting());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As [`ping`](Self::ping). It takes a few round trips, so its limit is four times the claim
    /// timeout.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn warnings(&self) -> Result<Vec<StorageWarning>, Error> {
        let limit = self.0.claim_timeout.saturating_mul(4);
        self.within(limit, self.0.storage.warnings()).await
    }

    async fn within<T>(
        &self,
        limit: Duration,
        asked: impl Future<Output = Result<T, StorageError>>,
    ) -> Result<T, Error> {
        runtime::check().map_err(|text| Error::new(ErrorKind::Configuration, text))?;
        let answer = timeout(limit, asked).await.unwrap_or_else(|_| {
            let text = format!("the storage did not answer within {limit:?}");
            Err(StorageError::new(StorageErrorKind::NotApplied, text))
        });
        Ok(answer?)
    }
}
