//! The builder of a call, behind the attribute and
//! [`Idempotency::operation`](crate::Idempotency::operation).

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::settings::CallSettings;
use super::shared::SharedHandle;
use crate::codec::AnyCodec;
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::key::IntoKey;
use crate::policy::{Defaults, MapErr, OnError, RetryIf, StoreIf};
use crate::record::CrashPolicy;

/// A call of an operation, before its body is given.
///
/// [`run`](Self::run) reports mistakes in the settings (a bad key, a zero duration) before it polls
/// the body.
///
/// ```
/// # use idem_runtime as idempotency;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), idem_runtime::Error> {
/// use std::time::Duration;
/// use idempotency::{Error, Idempotency, Outcome};
///
/// let idem = Idempotency::memory();
/// let outcome: Outcome<u32> = idem
///     .operation("charge")
///     .key("payment:42")
///     .fingerprint(&("user-7", 1999))
///     .wait(Duration::from_secs(5))
///     .run_with_outcome(async { Ok::<_, Error>(17) })
///     .await?;
/// assert_eq!(outcome.value, 17);
/// assert!(!outcome.is_replayed());
/// # Ok(())
/// # }
/// ```
#[must_use = "an operation does nothing until it is given a body with `run`"]
pub struct Operation<P = Defaults, B = Attached> {
    pub(super) settings: CallSettings,
    pub(super) policy: P,
    pub(super) binding: B,
}

/// The binding of an [`Operation`] whose body is dropped with its caller.
#[derive(Clone, Copy, Debug)]
pub struct Attached;

/// The binding of an [`Operation`] whose body outlives its caller: see
/// [`finish_on_cancel`](Operation::finish_on_cancel).
#[derive(Clone, Copy, Debug)]
pub struct Detached;

/// The bindings with a lease: [`Attached`] and [`Detached`]. A call in a transaction has none.
pub trait Leased {}

impl Leased for Attached {}
impl Leased for Detached {}

impl Operation {
    pub(crate) fn new(handle: Result<Arc<SharedHandle>, Error>, name: Cow<'static, str>) -> Self {
        Self::bound(handle, name, Attached)
    }
}

impl<B> Operation<Defaults, B> {
    pub(super) fn bound(
        handle: Result<Arc<SharedHandle>, Error>,
        name: Cow<'static, str>,
        binding: B,
    ) -> Self {
        let settings = CallSettings::new(handle, name);
        Self { settings, policy: Defaults, binding }
    }
}

impl<P, B> Operation<P, B> {
    /// The key. Without one it is [generated](Self::generate_key) from the fingerprint.
    ///
    /// **A string is the whole key, and all operations of a namespace and tenant share these
    /// keys.** If the string comes from outside (a message's id, a form's field), the sender
    /// chooses the record. If it chooses another operation's key, this call fails with a
    /// [`Mismatch`](crate::ErrorKind::Mismatch), or occupies the key so that the other operation
    /// fails. So begin with a literal of your operation and add the value with a
    /// [`KeyBuilder`](crate::key::KeyBuilder). Its keys never equal a whole key, or a key of
    /// another template or of the HTTP layer:
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), idem_runtime::Error> {
    /// use idempotency::key::KeyBuilder;
    /// use idempotency::{Error, Idempotency};
    ///
    /// let (idem, message_id) = (Idempotency::memory(), "chosen by the sender");
    /// let key = KeyBuilder::new(64).literal("charge:").value("message_id", message_id)?.finish();
    /// let value = idem.operation("charge").key(key).run(async { Ok::<_, Error>(17) }).await?;
    /// # assert_eq!(value, 17);
    /// # Ok(())
    /// # }
    /// ```
    pub fn key(mut self, key: impl IntoKey) -> Self {
        self.settings.key = Some(key.into_key());
        self
    }

    /// The arguments: the same key with other arguments is a
    /// [`Mismatch`](crate::ErrorKind::Mismatch).
    ///
    /// Arguments that cannot be hashed are reported by [`run`](Operation::run), as
    /// [`KeyGeneration`](crate::ErrorKind::KeyGeneration).
    pub fn fingerprint<A: Serialize + ?Sized>(self, args: &A) -> Self {
        let fingerprint = Fingerprint::of(&self.settings.name, args);
        self.identified(fingerprint)
    }

    /// A fingerprint that was computed before, by a
    /// [`Fingerprinter`](crate::fingerprint::Fingerprinter) for example.
    pub fn with_fingerprint(self, fingerprint: Fingerprint) -> Self {
        self.identified(Ok(fingerprint))
    }

    /// Generates the key from the arguments, and sets their fingerprint: calls with equal arguments
    /// are duplicates. The handle's [`KeyGenerator`](crate::key::KeyGenerator) generates it; the
    /// default is a hash of the operation's name and the arguments.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), idem_runtime::Error> {
    /// # use idem_runtime as idempotency;
    /// use idempotency::{Error, Idempotency};
    ///
    /// let idem = Idempotency::memory();
    /// let invoice = |customer: u64, month: &'static str| {
    ///     let number = async move { Ok::<_, Error>(format!("{customer}/{month}")) };
    ///     idem.operation("invoice").generate_key(&(customer, month)).run_with_outcome(number)
    /// };
    /// assert!(!invoice(7, "2026-11").await?.is_replayed());
    /// assert!(invoice(7, "2026-11").await?.is_replayed());
    /// assert!(!invoice(8, "2026-11").await?.is_replayed());
    /// # Ok(())
    /// # }
    /// ```
    pub fn generate_key<A: Serialize + ?Sized>(mut self, args: &A) -> Self {
        self.settings.key = None;
        self.fingerprint(args)
    }

    pub(crate) fn identified(mut self, fingerprint: Result<Fingerprint, Error>) -> Self {
        self.settings.fingerprint = Some(fingerprint);
        self
    }

    /// The tenant of the key: tenants never share a key. Must not be empty.
    pub fn tenant(mut self, tenant: impl fmt::Display) -> Self {
        self.settings.tenant = Some(tenant.to_string());
        self
    }

    /// How long the outcome is replayed, counted from its completion. Not zero, and not shorter
    /// than the lease. A storage caps it at the longest time that it can represent.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = Some(ttl);
        self
    }

    /// How long a duplicate waits for the running call's result. Without it, and with zero, a
    /// duplicate gets [`AlreadyProcessing`](crate::ErrorKind::AlreadyProcessing).
    pub fn wait(mut self, wait: Duration) -> Self {
        self.settings.wait = Some(wait);
        self
    }

    /// The format of the stored result.
    pub fn codec(mut self, codec: impl Into<AnyCodec>) -> Self {
        self.settings.codec = Some(codec.into());
        self
    }

    /// What is recorded of errors: [`StoreErrors`](crate::policy::StoreErrors),
    /// [`ReplayErrors`](crate::policy::ReplayErrors) or
    /// [`ReleaseErrors`](crate::policy::ReleaseErrors). Replaces an earlier
    /// [`retry_if`](Self::retry_if).
    pub fn errors<N>(self, errors: N) -> Operation<OnError<P, N>, B> {
        self.with(|inner| OnError { inner, errors })
    }

    /// Errors for which `matches` is true release the key, so that the next call runs again.
    pub fn retry_if<F>(self, matches: F) -> Operation<RetryIf<P, F>, B> {
        self.with(|inner| RetryIf { inner, matches })
    }

    /// Results for which `keeps` is false release the key, so that the next call runs again.
    pub fn store_if<F>(self, keeps: F) -> Operation<StoreIf<P, F>, B> {
        self.with(|inner| StoreIf { inner, keeps })
    }

    /// How this crate's error becomes the body's error type, where that has no `From<Error>`.
    pub fn map_err<F>(self, map: F) -> Operation<MapErr<P, F>, B> {
        self.with(|inner| MapErr { inner, map })
    }

    fn with<Q>(self, option: impl FnOnce(P) -> Q) -> Operation<Q, B> {
        let Self { settings, policy, binding } = self;
        Operation { settings, policy: option(policy), binding }
    }
}

impl<P, B: Leased> Operation<P, B> {
    /// How long the owner may be silent before others may take over. Not zero, and not longer than
    /// a given ttl. Default: the handle's, or the ttl if that is shorter.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = Some(lease);
        self
    }

    /// What happens to the key when the owner dies.
    pub fn on_crash(mut self, policy: CrashPolicy) -> Self {
        self.settings.on_crash = policy;
        self
    }

    /// Runs the body without protection when the storage is down, instead of failing. The outcome
    /// is [`Unrecorded`](crate::Source::Unrecorded), and the hook `on_unrecorded` is called. Only
    /// for effects that may happen twice.
    pub fn fail_open(mut self) -> Self {
        self.settings.fail_open = true;
        self
    }

    /// Lets the body run to completion when its caller is dropped: a client disconnects, a timeout
    /// elapses, a `select!` takes another branch. Without it that counts as a crash, whose policy
    /// applies at once. The body, its result, its error, and functions such as `retry_if` have to
    /// be `Send` and `'static`.
    ///
    /// The caller polls the call. If it drops the call after the body has started, a task on the
    /// same runtime continues it, with its lease, its [context](crate::current), its span and the
    /// handle of [`with`](crate::with), but without the application's own task-locals. Dropped
    /// before the body has started, the call has no effect. A panic propagates to the caller if it
    /// still waits, and counts as a crash. Shutting the runtime down counts as a crash too: call
    /// [`drain`](crate::Idempotency::drain) before.
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), idem_runtime::Error> {
    /// use std::time::Duration;
    /// use idempotency::{Error, Idempotency};
    ///
    /// let idem = Idempotency::memory();
    /// let charge = || {
    ///     idem.operation("charge").key("payment:42").finish_on_cancel().run(async {
    ///         tokio::time::sleep(Duration::from_millis(20)).await;
    ///         Ok::<_, Error>("receipt 1".to_owned())
    ///     })
    /// };
    /// tokio::time::timeout(Duration::from_millis(5), charge()).await.unwrap_err();
    /// idem.drain().await;
    /// assert_eq!(charge().await?, "receipt 1"); // replayed
    /// # Ok(())
    /// # }
    /// ```
    pub fn finish_on_cancel(self) -> Operation<P, Detached> {
        let Self { settings, policy, binding: _ } = self;
        Operation { settings, policy, binding: Detached }
    }
}

impl<P, B> fmt::Debug for Operation<P, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("name", &self.settings.name).finish_non_exhaustive()
    }
}
