//! The handle: a storage with the settings that its operations share.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::complaints::Complaints;
use super::flight::Flights;
use super::operation::{IntoKey, Operation};
use super::parked::Parked;
use super::read_back::ReadBack;
use super::renewal::Renewer;
use super::shared::{Inner, check_durations};
use crate::codec::AnyCodec;
use crate::error::{Error, ErrorKind};
use crate::hooks::{Abandoned, Event, Hooks};
use crate::key::{HashedArguments, KeyGenerator, RecordKey};
use crate::policy::Storable;
use crate::storage::{SharedStorage, Storage};

/// A storage with the settings that its operations share. Cheap to clone: clones are the same handle.
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
    /// `Configuration` when the crate was built without the `json` feature: then choose a codec with the [builder](Self::builder).
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

    /// Runs `body` once for this key and gives everybody its result: the short form of [`operation`](Self::operation).
    ///
    /// The key alone names the effect: nothing is known of arguments, so that a key used for two effects is not noticed. Give
    /// [`Operation::fingerprint`] for that.
    ///
    /// # Errors
    ///
    /// The body's own error, or this crate's [`Error`] made into it, as [`Operation::run`] says.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while the body runs counts as a crash that was seen: the key is released at once, and the next call runs the body
    /// again. [`Operation::finish_on_cancel`] lets the body run to its end.
    pub async fn execute<T, E, F>(&self, key: impl IntoKey, ttl: Duration, body: F) -> Result<T, E>
    where
        T: Storable,
        E: From<Error> + fmt::Display,
        F: Future<Output = Result<T, E>>,
    {
        self.operation("execute").key(key).ttl(ttl).run(body).await
    }

    /// The storage, for tools.
    pub fn storage(&self) -> &SharedStorage {
        &self.0.storage
    }

    /// The namespace that this handle's keys live in.
    pub fn namespace(&self) -> &str {
        &self.0.namespace
    }

    /// How many calls are under way in this process: bodies that run, with or without their caller, in transactions too, and outcomes and
    /// releases that are still being written, in the background too.
    pub fn in_flight(&self) -> usize {
        self.0.flights.len()
    }

    /// Waits until no call of this handle is under way in this process, on whichever runtime: the last step of an orderly shut-down, after
    /// the server or the consumer has stopped taking work, and before its runtime is dropped.
    ///
    /// What is waited for is what [`in_flight`](Self::in_flight) counts. Calls are served meanwhile, since what is under way may need them; they
    /// are waited for as well. A call that waits for another process's outcome counts; a duplicate that waits for one in this process
    /// does not, since that one counts itself. A body that never ends is waited for without end: see [`drain_within`](Self::drain_within).
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

    /// Like [`drain`](Self::drain), no longer than `limit`: gives how many calls are still under way then. When the process ends, their keys
    /// stay locked until their leases run out, and their crash policies apply.
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
    #[must_use = "calls that are left are resolved by their leases"]
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

/// How long an owner may be silent, unless somebody says otherwise.
const LEASE: Duration = Duration::from_secs(30);

/// Settings of an [`Idempotency`] handle.
#[must_use]
pub struct IdempotencyBuilder {
    storage: SharedStorage,
    namespace: String,
    ttl: Duration,
    /// The default, lowered to the ttl, where nobody says what it is.
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

    /// How long an owner may be silent before others may take over. Default: 30 seconds, or the ttl where that is shorter.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// How long the storage may take before a body begins or a duplicate is answered: the claim with its retries, and the renewal of a
    /// lease that was claimed late. Default: 3 seconds.
    ///
    /// A storage that is down or hung is reported after this time at the latest, as a retryable [`Storage`](ErrorKind::Storage) error; the
    /// body has not run, and what may have been claimed all the same is released in the background. An operation that fails open runs
    /// its body then. In a transaction it is the limit of the claim there.
    ///
    /// The time that a duplicate waits for another's outcome ([`Operation::wait`]) does not count, but each look at the storage meanwhile
    /// has this limit: a call without a body ends after `wait` and this at the latest. A retry after a reply that is lost helps only if it
    /// fits, so let the storage's own timeouts (such as `RedisBuilder::response_timeout`, 2 seconds) be shorter.
    pub fn claim_timeout(mut self, limit: Duration) -> Self {
        self.claim_timeout = limit;
        self
    }

    /// The format of stored results. Default: JSON.
    pub fn codec(mut self, codec: impl Into<AnyCodec>) -> Self {
        self.codec = Some(codec.into());
        self
    }

    /// Largest encoded result in bytes. A larger one is given to its caller, but its duplicates get
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

    /// Called whenever a stored outcome is replayed, a failure included. Must not block.
    pub fn on_replay(mut self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.replay = Some(Box::new(hook));
        self
    }

    /// Called whenever a body has run and its end is not recorded: sound the alarm here. Must not block.
    pub fn on_unrecorded(mut self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.unrecorded = Some(Box::new(hook));
        self
    }

    /// Called before a body runs for a key whose owner died, and not after one that released the key. Must not block.
    pub fn on_takeover(mut self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.takeover = Some(Box::new(hook));
        self
    }

    /// Called whenever a body does not come to its end, because its caller was dropped or because it panicked. What it has done so far stays
    /// done, and under `on_crash = "retry"` the next call does it again: with
    /// [`finish_on_cancel`](Operation::finish_on_cancel) a body outlives its caller. Called where the future is dropped; must not block.
    ///
    /// Not called for calls that are dropped before their body begins, such as waiting duplicates, nor while the outcome is being persisted.
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// use idempotency::{Idempotency, hooks::AbandonReason, storage::MemoryStorage};
    ///
    /// let idem = Idempotency::builder(MemoryStorage::new())
    ///     .on_abandoned(|call| match call.reason {
    ///         AbandonReason::Cancelled => eprintln!("{}: the caller is gone", call.operation),
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

    /// Called when a record was parked: its owner died, or its body was cancelled or panicked, under [`CrashPolicy::Park`]. Nobody runs the
    /// body again until the record is resolved, so somebody has to look. Must not block.
    ///
    /// It is called by whoever parks the record: the guard of the body, or the first claim after the owner's lease. Later calls that are
    /// refused because of it do not call the hook. Where a reply of the storage was lost, or the claim was part of a transaction that was
    /// rolled back, it may be called more than once for one crash; where no reply came within the claim timeout, not at all, and a scan of the
    /// storage shows the record.
    ///
    /// [`CrashPolicy::Park`]: crate::record::CrashPolicy::Park
    pub fn on_parked(mut self, hook: impl Fn(&Event<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.parked = Some(Box::new(hook));
        self
    }

    /// The handle.
    ///
    /// # Errors
    ///
    /// `Configuration`: a namespace that is empty or too long, a zero duration (the claim timeout included), a ttl shorter than the lease, or no codec in a build without `json`.
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
