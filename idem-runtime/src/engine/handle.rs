//! The handle: a storage with the settings that its operations share.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::complaints::Complaints;
use super::flight::Flights;
use super::operation::{IntoKey, Operation};
use super::parked::Parked;
use super::read_back::ReadBack;
use super::renewal::Renewer;
use super::shared::{Inner, check_durations};
use crate::codec::AnyCodec;
use crate::error::{Error, ErrorKind};
use crate::hooks::{Abandoned, CallEvent, Hooks};
use crate::key::{HashedArguments, KeyGenerator, RecordKey};
use crate::policy::Storable;
use crate::storage::{SharedStorage, Storage};
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
pub struct Idempotency(pub(crate) Arc<Inner>);

impl Idempotency {
    /// A handle on `storage` with the default settings.
    ///
    /// # Errors
    ///
    /// `Configuration` when the crate was built without the feature `json`: choose a codec with the
    /// [builder](Self::builder) then.
    pub fn new(storage: impl Storage) -> Result<Self, Error> {
        Self::builder(storage).build()
    }

    /// A handle on a memory storage of its own: for tests and single-process services.
    #[cfg(feature = "json")]
    pub fn memory() -> Self {
        IdempotencyBuilder::new(crate::storage::MemoryStorage::new())
            .build_with(crate::codec::Json.into(), LEASE)
    }

    /// A handle with settings.
    pub fn builder(storage: impl Storage) -> IdempotencyBuilder {
        IdempotencyBuilder::new(storage)
    }

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
    /// [`operation`](Self::operation) with a name and a [`fingerprint`](Operation::fingerprint) where
    /// that matters.
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
    /// orderly shut-down, after the server or the consumer has stopped accepting work and before its
    /// runtime is dropped.
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

/// The default lease.
const LEASE: Duration = Duration::from_secs(30);

/// Settings of an [`Idempotency`] handle.
#[must_use]
pub struct IdempotencyBuilder {
    storage: SharedStorage,
    namespace: String,
    ttl: Duration,
    /// `None`: the default, lowered to the ttl.
    lease: Option<Duration>,
    claim_timeout: Duration,
    codec: Option<AnyCodec>,
    max_result_size: usize,
    key_generator: Box<dyn KeyGenerator>,
    hooks: Hooks,
}

impl IdempotencyBuilder {
    fn new(storage: impl Storage) -> Self {
        Self {
            storage: SharedStorage::new(storage),
            namespace: "default".to_owned(),
            ttl: Duration::from_secs(24 * 60 * 60),
            lease: None,
            claim_timeout: Duration::from_secs(3),
            codec: None,
            max_result_size: 1024 * 1024,
            key_generator: Box::new(HashedArguments),
            hooks: Hooks::default(),
        }
    }

    /// Separates this application's keys from those of others on the same storage. Default: `default`.
    ///
    /// Not empty, and at most [`RecordKey::MAX_SCOPE_LEN`](crate::key::RecordKey::MAX_SCOPE_LEN) bytes.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How long a finished record is replayed, counted from its completion. Default: 24 hours.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// How long an owner may be silent before others may take over. Default: 30 seconds, or the ttl
    /// if that is shorter.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// The time limit of a claim, its retries included: before the body starts, or a duplicate gets
    /// its answer. Default: 3 seconds.
    ///
    /// A storage that is down or hung is reported after this time at the latest, as a retryable
    /// [`Storage`](ErrorKind::Storage) error. The body has not run, and a claim that the storage may
    /// have accepted is released in the background. An operation that fails open runs its body then.
    /// In a transaction it limits the claim in that transaction.
    ///
    /// The time for which a duplicate waits ([`Operation::wait`]) is added, and each request to the
    /// storage meanwhile has this limit. A lost reply can be retried only within the limit, so the
    /// storage's own timeouts (such as `RedisBuilder::response_timeout`, 2 seconds) should be shorter.
    pub fn claim_timeout(mut self, limit: Duration) -> Self {
        self.claim_timeout = limit;
        self
    }

    /// The format of stored results. Default: JSON.
    pub fn codec(mut self, codec: impl Into<AnyCodec>) -> Self {
        self.codec = Some(codec.into());
        self
    }

    /// The largest encoded result in bytes. The caller gets a larger one too, but its duplicates get
    /// [`TooLarge`](ErrorKind::TooLarge). Default: 1 MiB.
    pub fn max_result_size(mut self, bytes: usize) -> Self {
        self.max_result_size = bytes;
        self
    }

    /// Makes the keys of calls whose caller gives none. Default:
    /// [`HashedArguments`](crate::key::HashedArguments).
    pub fn key_generator(mut self, generator: impl KeyGenerator + 'static) -> Self {
        self.key_generator = Box::new(generator);
        self
    }

    /// Called for each replay of a stored result or failure. Must not block.
    pub fn on_replay(mut self, hook: impl Fn(&CallEvent<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.replay = Some(Box::new(hook));
        self
    }

    /// Called when a body has run and its outcome is not recorded: raise an alert here. Must not
    /// block.
    pub fn on_unrecorded(mut self, hook: impl Fn(&CallEvent<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.unrecorded = Some(Box::new(hook));
        self
    }

    /// Called before a body runs for a key whose previous owner died. Not called after a release.
    /// Must not block.
    pub fn on_takeover(mut self, hook: impl Fn(&CallEvent<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.takeover = Some(Box::new(hook));
        self
    }

    /// Called when a body is cancelled or panics. The effects that it had so far remain, and under
    /// `on_crash = "retry"` the next call runs the body again; with
    /// [`finish_on_cancel`](Operation::finish_on_cancel) the body runs to completion instead. Called
    /// while the future is dropped; must not block.
    ///
    /// Not called for a call that is dropped before its body starts, such as a waiting duplicate, nor
    /// while the outcome is being persisted.
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// use idempotency::{Idempotency, hooks::AbandonReason, storage::MemoryStorage};
    ///
    /// let idem = Idempotency::builder(MemoryStorage::new())
    ///     .on_abandoned(|call| match call.reason {
    ///         AbandonReason::Cancelled => eprintln!("{}: cancelled", call.operation),
    ///         reason => eprintln!("{}: {reason:?}", call.operation),
    ///     })
    ///     .build()?;
    /// # drop(idem);
    /// # Ok::<(), idem_runtime::Error>(())
    /// ```
    pub fn on_abandoned(mut self, hook: impl Fn(&Abandoned<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.abandoned = Some(Box::new(hook));
        self
    }

    /// Called when a record is parked: its owner died, or its body was cancelled or panicked, under
    /// [`CrashPolicy::Park`]. The body does not run again until a person resolves the record. Must
    /// not block.
    ///
    /// The process that parks the record calls it: the owner's, or that of the first claim after the
    /// owner's lease. Later calls, which are refused because the record is parked, do not call it. It
    /// may be called more than once for one crash when a reply of the storage was lost, or when the
    /// claim was part of a transaction that was rolled back. It is not called when no reply came
    /// within the claim timeout; a scan of the storage still shows the record.
    ///
    /// [`CrashPolicy::Park`]: crate::record::CrashPolicy::Park
    pub fn on_parked(mut self, hook: impl Fn(&CallEvent<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.parked = Some(Box::new(hook));
        self
    }

    /// The handle.
    ///
    /// # Errors
    ///
    /// `Configuration` for a namespace that is empty or too long, a zero duration (the claim timeout
    /// included), a ttl shorter than the lease, or a build without `json` and without a codec.
    pub fn build(mut self) -> Result<Idempotency, Error> {
        if self.namespace.is_empty() {
            return Err(Error::new(ErrorKind::Configuration, "the namespace is empty"));
        }
        crate::key::check_scope(&self.namespace).map_err(|_| {
            let text = format!("the namespace is longer than {} bytes", RecordKey::MAX_SCOPE_LEN);
            Error::new(ErrorKind::Configuration, text)
        })?;
        let lease = self.lease.unwrap_or(LEASE.min(self.ttl));
        check_durations(self.ttl, lease)?;
        if self.claim_timeout.is_zero() {
            let text = "the claim timeout is zero: no storage answers within it";
            return Err(Error::new(ErrorKind::Configuration, text));
        }
        #[cfg(feature = "json")]
        let default = Some(AnyCodec::from(crate::codec::Json));
        #[cfg(not(feature = "json"))]
        let default = None;
        match self.codec.take().or(default) {
            Some(codec) => Ok(self.build_with(codec, lease)),
            None => Err(Error::new(
                ErrorKind::Configuration,
                "no codec: choose one with `codec`, or switch the feature `json` on",
            )),
        }
    }

    fn build_with(self, codec: AnyCodec, lease: Duration) -> Idempotency {
        crate::telemetry::describe();
        let flights = Arc::new(Flights::new());
        let complaints = Arc::new(Complaints::default());
        let renewer =
            Renewer::new(self.storage.clone(), Arc::clone(&flights), Arc::clone(&complaints));
        Idempotency(Arc::new(Inner {
            storage: self.storage,
            namespace: self.namespace,
            ttl: self.ttl,
            lease,
            claim_timeout: self.claim_timeout,
            codec,
            max_result_size: self.max_result_size,
            key_generator: self.key_generator,
            flights,
            renewer: Arc::new(renewer),
            complaints,
            hooks: self.hooks,
            parked: Parked::default(),
            read_back: ReadBack::default(),
        }))
    }
}

impl fmt::Debug for IdempotencyBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyBuilder")
            .field("storage", &self.storage)
            .field("namespace", &self.namespace)
            .field("ttl", &self.ttl)
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}
