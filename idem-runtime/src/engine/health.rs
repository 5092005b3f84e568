//! What a readiness probe and an operator ask of a handle: whether its storage answers, and what is wrong with its settings.

use std::time::Duration;

use super::handle::Idempotency;
use crate::error::{Error, ErrorKind};
use crate::runtime;
use crate::storage::{Storage, StorageError, StorageErrorKind, StorageWarning};
use crate::sync::time::timeout;

impl Idempotency {
    /// Asks the storage for a sign of life, in one round trip: for readiness probes, and for a start-up that wants to know at once.
    ///
    /// It goes the way of a call's first verb and reads a record that does not exist, so it also tells of tables that are missing and of
    /// rights to read them. It changes nothing, is tried once, and ends within the handle's
    /// [`claim_timeout`](crate::IdempotencyBuilder::claim_timeout). Of a Redis Cluster one shard answers.
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
    ///     Err(error) => println!("somebody has to change something: {error}"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`Storage`](ErrorKind::Storage), which is retryable, where the storage cannot be reached or does not answer in time;
    /// [`Configuration`](ErrorKind::Configuration) where somebody has to change something: a password, a right, a table.
    ///
    /// # Cancel safety
    ///
    /// May be dropped at any time.
    pub async fn ping(&self) -> Result<(), Error> {
        let limit = self.0.claim_timeout;
        self.within(limit, self.0.storage.ping()).await
    }

    /// Looks at the storage's settings as they are now, and says under which of them records can be lost, or calls are slower than need be.
    /// None is an error: they may be meant, but they are better known.
    ///
    /// [`connect`](Self::connect) logs them as well. A storage on the application's own pool logs nothing, so ask at start-up.
    ///
    /// | storage | what is looked at |
    /// |---|---|
    /// | Redis, with Sentinel, Cluster | eviction, persistence, the right to wake waiters, what the server does not tell; on each primary |
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
    /// As [`ping`](Self::ping). It takes a few round trips, so its limit is four times the claim timeout.
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
