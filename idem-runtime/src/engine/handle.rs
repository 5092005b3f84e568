//! The handle: a storage with the settings that its operations share.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::operation::Operation;
use super::shared::SharedHandle;
use crate::error::Error;
use crate::key::IntoKey;
use crate::policy::Storable;
use crate::storage::SharedStorage;
use crate::sync::time::timeout;

/// A handle: a storage with the settings that its operations share. Cheap to clone; clones share
/// everything.
///
/// ```
/// # use idem_runtime as idempotency;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), idem_runtime::Error> {
/// use std::time::Duration;
/// use idempotency::{Error, Idempotency, storage::MemoryStorage};
///
/// let idem = Idempotency::builder(MemoryStorage::new())
///     .namespace("billing")
///     .ttl(Duration::from_secs(3600))
///     .build()?;
/// for _ in 0..3 {
///     let receipt = idem
///         .execute("payment:42", Duration::from_secs(900), async { Ok::<_, Error>("receipt 1".to_owned()) })
///         .await?;
///     assert_eq!(receipt, "receipt 1");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Idempotency(pub(crate) Arc<SharedHandle>);

impl Idempotency {
    /// Starts a call of the operation `name`.
    pub fn operation(&self, name: impl Into<Cow<'static, str>>) -> Operation {
        Operation::new(Ok(Arc::clone(&self.0)), name.into())
    }

    /// Runs `body` once for this key and gives every duplicate its result: the short form of
    /// [`operation`](Self::operation).
    ///
    /// All calls of `execute` are the operation `execute`, without arguments. So a key that is used
    /// for two different effects is not refused as a mismatch: the second gets the first one's
    /// result. Metrics and spans cannot tell such calls apart either. Use
    /// [`operation`](Self::operation) with a name and a [`fingerprint`](Operation::fingerprint)
    /// where that matters.
    ///
    /// # Errors
    ///
    /// The body's own error, or this crate's [`Error`] made into it, as [`Operation::run`] says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while the body runs releases the key at once, and the next call runs the
    /// body again. With [`Operation::finish_on_cancel`] the body runs to completion.
    pub async fn execute<T, E, F>(&self, key: impl IntoKey, ttl: Duration, body: F) -> Result<T, E>
    where
        T: Storable,
        E: From<Error> + fmt::Display,
        F: Future<Output = Result<T, E>>,
    {
        self.operation("execute").key(key).ttl(ttl).run(body).await
    }

    /// The storage, for tools that look at records.
    pub fn storage(&self) -> &SharedStorage {
        &self.0.storage
    }

    /// The namespace of this handle's keys.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// The number of calls of this handle in this process: running bodies, with or without their
    /// caller and in transactions too, and outcomes and releases that are still being written.
    pub fn in_flight(&self) -> usize {
        self.0.flights.len()
    }

    /// Waits until [`in_flight`](Self::in_flight) is zero, on all runtimes: the last step of an
    /// orderly shut-down, after the server or the consumer has stopped accepting work and before
    /// its runtime is dropped.
    ///
    /// New calls are still accepted, since running bodies may need them, and are waited for too. A
    /// call that waits for another process's outcome counts. A duplicate that waits for a call in
    /// this process does not, since that call counts. There is no time limit: see
    /// [`drain_within`](Self::drain_within).
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), idem_runtime::Error> {
    /// # let idem = idem_runtime::Idempotency::memory();
    /// // server.with_graceful_shutdown(stop).await;
    /// idem.drain().await;
    /// assert_eq!(idem.in_flight(), 0);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn drain(&self) {
        self.0.flights.drain().await;
    }

    /// Like [`drain`](Self::drain), for at most `limit`. Returns the number of calls that are still
    /// running: when the process ends, their keys stay locked until their leases expire, and their
    /// crash policies apply.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), idem_runtime::Error> {
    /// # use std::time::Duration;
    /// # let idem = idem_runtime::Idempotency::memory();
    /// let left = idem.drain_within(Duration::from_secs(20)).await;
    /// if left > 0 {
    ///     eprintln!("{left} calls are left to their leases");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    #[must_use = "the keys of calls that still run stay locked until their leases expire"]
    pub async fn drain_within(&self, limit: Duration) -> usize {
        match timeout(limit, self.drain()).await {
            Ok(()) => 0,
            Err(_) => self.in_flight(),
        }
    }
}

impl fmt::Debug for Idempotency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Idempotency")
            .field("storage", &self.0.storage)
            .field("namespace", &self.0.namespace)
            .finish_non_exhaustive()
    }
}
