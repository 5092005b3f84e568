//! Making a handle: its settings, their defaults and checks.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::handle::Idempotency;
use super::in_flight_table::InFlightTable;
use super::parked_records::ParkedRecords;
use super::read_back::ReadBack;
use super::renewal::Renewer;
use super::shared::{SharedHandle, check_durations};
use super::throttled_log::ThrottledLog;
use crate::codec::AnyCodec;
use crate::error::{Error, ErrorKind};
use crate::hooks::{Abandoned, CallEvent, Hooks};
use crate::key::{HashedArguments, KeyGenerator, RecordKey};
use crate::storage::{SharedStorage, Storage};

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

    /// Separates this application's keys from those of others on the same storage. Default:
    /// `default`.
    ///
    /// Not empty, and at most [`RecordKey::MAX_SCOPE_LEN`](crate::key::RecordKey::MAX_SCOPE_LEN)
    /// bytes.
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
    /// [`Storage`](ErrorKind::Storage) error. The body has not run, and a claim that the storage
    /// may have accepted is released in the background. An operation that fails open runs its body
    /// then. In a transaction it limits the claim in that transaction.
    ///
    /// The time for which a duplicate waits ([`Operation::wait`](crate::Operation::wait)) is added,
    /// and each request to the storage meanwhile has this limit. A lost reply can be retried only
    /// within the limit, so the storage's own timeouts (such as `RedisBuilder::response_timeout`, 2
    /// seconds) should be shorter.
    pub fn claim_timeout(mut self, limit: Duration) -> Self {
        self.claim_timeout = limit;
        self
    }

    /// The format of stored results. Default: JSON.
    pub fn codec(mut self, codec: impl Into<AnyCodec>) -> Self {
        self.codec = Some(codec.into());
        self
    }

    /// The largest encoded result in bytes. The caller gets a larger one too, but its duplicates
    /// get [`TooLarge`](ErrorKind::TooLarge). Default: 1 MiB.
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
    /// [`finish_on_cancel`](crate::Operation::finish_on_cancel) the body runs to completion
    /// instead. Called while the future is dropped; must not block.
    ///
    /// Not called for a call that is dropped before its body starts, such as a waiting duplicate,
    /// nor while the outcome is being persisted.
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
    /// The process that parks the record calls it: the owner's, or that of the first claim after
    /// the owner's lease. Later calls, which are refused because the record is parked, do not call
    /// it. It may be called more than once for one crash when a reply of the storage was lost, or
    /// when the claim was part of a transaction that was rolled back. It is not called when no
    /// reply came within the claim timeout; a scan of the storage still shows the record.
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
    /// `Configuration` for a namespace that is empty or too long, a zero duration (the claim
    /// timeout included), a ttl shorter than the lease, or a build without `json` and without a
    /// codec.
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
        let codec = self.codec.take().or(default).ok_or_else(|| {
            let text = "no codec: choose one with `codec`, or switch the feature `json` on";
            Error::new(ErrorKind::Configuration, text)
        })?;
        Ok(self.build_with(codec, lease))
    }

    fn build_with(self, codec: AnyCodec, lease: Duration) -> Idempotency {
        crate::telemetry::describe();
        let flights = Arc::new(InFlightTable::new());
        let log = Arc::new(ThrottledLog::default());
        let renewer = Renewer::new(self.storage.clone(), Arc::clone(&flights), Arc::clone(&log));
        Idempotency(Arc::new(SharedHandle {
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
            log,
            hooks: self.hooks,
            parked: ParkedRecords::default(),
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
