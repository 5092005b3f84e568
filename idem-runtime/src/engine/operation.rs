//! The builder of a call, behind the attribute and
//! [`Idempotency::operation`](crate::Idempotency::operation).

use std::borrow::Cow;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures_util::TryFutureExt;
use serde::Serialize;
use tracing::Instrument;

use super::call::{Call, CallError};
use super::context;
use super::finish::Finish;
use super::flight::Flights;
use super::outcome::Outcome;
use super::report::Report;
use super::run::run;
use super::shared::{Inner, check_durations};
use crate::codec::AnyCodec;
use crate::error::{Error, ErrorKind};
use crate::fingerprint::{Fingerprint, Fingerprinter};
use crate::key::{CallName, HashedArguments, Key, KeyGenerator, RecordKey};
use crate::policy::{Defaults, MapErr, OnError, Policy, RetryIf, Storable, StoreIf};
use crate::record::CrashPolicy;
use crate::telemetry;

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
    pub(super) settings: Settings,
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

pub(super) struct Settings {
    handle: Result<Arc<Inner>, Error>,
    name: Cow<'static, str>,
    key: Option<Result<Key, Error>>,
    fingerprint: Option<Result<Fingerprint, Error>>,
    tenant: Option<String>,
    ttl: Option<Duration>,
    lease: Option<Duration>,
    wait: Option<Duration>,
    on_crash: CrashPolicy,
    codec: Option<AnyCodec>,
    fail_open: bool,
}

impl Operation {
    pub(crate) fn new(handle: Result<Arc<Inner>, Error>, name: Cow<'static, str>) -> Self {
        Self::bound(handle, name, Attached)
    }
}

impl<B> Operation<Defaults, B> {
    pub(super) fn bound(
        handle: Result<Arc<Inner>, Error>,
        name: Cow<'static, str>,
        binding: B,
    ) -> Self {
        let settings = Settings {
            handle,
            name,
            key: None,
            fingerprint: None,
            tenant: None,
            ttl: None,
            lease: None,
            wait: None,
            on_crash: CrashPolicy::Retry,
            codec: None,
            fail_open: false,
        };
        Self { settings, policy: Defaults, binding }
    }
}

impl<P, B> Operation<P, B> {
    /// The key. Without one it is [generated](Self::generate_key) of the fingerprint.
    ///
    /// **A text is the whole key, and all operations of a namespace and tenant share these keys.** If
    /// the text comes from outside (a message's id, a form's field), the sender chooses the record:
    /// with another operation's key this call is refused as a [`Mismatch`](ErrorKind::Mismatch), or
    /// takes the key from that operation. So begin with a literal of your operation and add the value
    /// with a [`KeyBuilder`](crate::key::KeyBuilder). Its keys never equal those of another template,
    /// of the HTTP layer, or whole keys:
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

    /// The arguments: the same key with other arguments is a [`Mismatch`](ErrorKind::Mismatch).
    ///
    /// Arguments that cannot be hashed are reported by [`run`](Operation::run), as
    /// [`KeyGeneration`](ErrorKind::KeyGeneration).
    pub fn fingerprint<A: Serialize + ?Sized>(self, args: &A) -> Self {
        let fingerprint = Fingerprint::of(&self.settings.name, args);
        self.identified(fingerprint)
    }

    /// A fingerprint that was computed before, by a
    /// [`Fingerprinter`](crate::fingerprint::Fingerprinter) for example.
    pub fn with_fingerprint(self, fingerprint: Fingerprint) -> Self {
        self.identified(Ok(fingerprint))
    }

    /// Makes the key of the arguments, and takes their fingerprint: calls with equal arguments are
    /// one. The handle's [`KeyGenerator`](crate::key::KeyGenerator) makes it, or by default a hash
    /// of the operation's name and the arguments.
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

    /// How long the outcome is replayed, counted from its completion. Not zero, and not shorter than
    /// the lease. A storage caps it at the longest time that it can represent.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.settings.ttl = Some(ttl);
        self
    }

    /// How long a duplicate waits for the running call's result. Without it, and with zero, a
    /// duplicate gets [`AlreadyProcessing`](ErrorKind::AlreadyProcessing).
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
    /// How long the owner may be silent before others may take over. Not zero, and not longer than a
    /// given ttl. Default: the handle's, or the ttl if that is shorter.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = Some(lease);
        self
    }

    /// What happens to the key when the owner dies.
    pub fn on_crash(mut self, policy: CrashPolicy) -> Self {
        self.settings.on_crash = policy;
        self
    }

    /// Runs the body without protection when the storage is down, instead of failing. The outcome is
    /// [`Unrecorded`](crate::Source::Unrecorded), and the hook `on_unrecorded` is called. Only for
    /// effects that may happen twice.
    pub fn fail_open(mut self) -> Self {
        self.settings.fail_open = true;
        self
    }

    /// Lets the body run to completion when its caller is dropped: a client disconnects, a timeout
    /// elapses, a `select!` takes another branch. Without it that counts as a crash, whose policy
    /// applies at once. The body, its result, its error, and functions such as `retry_if` have to be
    /// `Send` and `'static`.
    ///
    /// The caller polls the call. If it drops the call after the body has started, a task on the same
    /// runtime continues it, with its lease, its [context](crate::current), its span and the handle of
    /// [`with`](crate::with), but without the application's own task-locals. Dropped before the body
    /// has started, the call has no effect. A panic propagates to the caller if it still waits, and
    /// counts as a crash. Shutting the runtime down counts as a crash too: call
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

impl<P> Operation<P> {
    /// Runs the body, or replays the outcome of its first run. Gives the value;
    /// [`run_with_outcome`](Self::run_with_outcome) says where it comes from as well.
    ///
    /// # Errors
    ///
    /// The body's own error, from this run or replayed, or this crate's [`Error`] made into its
    /// type. For these the body has not run:
    ///
    /// | what is wrong | kind |
    /// |---|---|
    /// | the key is empty, too long, not UTF-8 or has control characters; the tenant or the namespace is too long, or the tenant empty; neither key nor fingerprint is given; the arguments cannot be hashed | [`KeyGeneration`](ErrorKind::KeyGeneration) |
    /// | a zero ttl or lease, a ttl shorter than the lease, no tokio runtime with timers | [`Configuration`](ErrorKind::Configuration) |
    /// | no handle is configured | [`NotConfigured`](ErrorKind::NotConfigured) |
    /// | the storage is down, full, or does not answer within the handle's [`claim_timeout`](crate::IdempotencyBuilder::claim_timeout) | [`Storage`](ErrorKind::Storage) |
    /// | the record cannot be read | [`Corrupt`](ErrorKind::Corrupt) |
    ///
    /// The caller gets a result that cannot be encoded, or is too large, as
    /// [`Unrecorded`](crate::Source::Unrecorded); its duplicates get
    /// [`Serialization`](ErrorKind::Serialization) or [`TooLarge`](ErrorKind::TooLarge).
    /// [`ErrorKind`] lists all other errors of duplicates.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future while the body runs counts as a crash that this process saw, as a panic
    /// in the body does: the crash policy applies at once, and the crash is counted, logged and
    /// reported to [`on_abandoned`](crate::IdempotencyBuilder::on_abandoned). With
    /// [`finish_on_cancel`](Self::finish_on_cancel) the body runs to completion. Dropped before the
    /// body starts, the future has no effect. Dropped while the outcome is being persisted, the
    /// write continues in the background.
    pub fn run<T, E, F>(self, body: F) -> impl Future<Output = Result<T, E>>
    where
        T: Storable,
        P: Policy<T, E>,
        F: Future<Output = Result<T, E>>,
    {
        // An `async` block would hold the future twice: as what it captured and as what it awaits.
        self.run_with_outcome(body).map_ok(Outcome::into_value)
    }

    /// Like [`run`](Self::run), and says where the value comes from.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub fn run_with_outcome<T, E, F>(self, body: F) -> impl Future<Output = Result<Outcome<T>, E>>
    where
        T: Storable,
        P: Policy<T, E>,
        F: Future<Output = Result<T, E>>,
    {
        // On the heap, so that nested calls do not multiply the size of the innermost future.
        let body = Box::pin(body);
        async move {
            let Self { settings, policy, binding: Attached } = self;
            let ended = match settings.into_call() {
                Ok(call) => observed(&call, &policy, body).await,
                Err(error) => Err(CallError::Library(error)),
            };
            ended.map_err(|failed| failed.into_error(&policy))
        }
    }
}

impl<P> Operation<P, Detached> {
    /// Runs the body, or replays the outcome of its first run. Gives the value;
    /// [`run_with_outcome`](Self::run_with_outcome) says where it comes from as well.
    ///
    /// # Errors
    ///
    /// As [`run`](Operation::run) of an operation whose body is dropped with its caller.
    ///
    /// # Cancel safety
    ///
    /// Dropped after the body has started, the call continues without its caller; dropped before,
    /// it has no effect.
    pub fn run<T, E, F>(
        self,
        body: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F, P>
    where
        T: Storable + Send + 'static,
        E: Send + 'static,
        P: Policy<T, E> + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        self.run_with_outcome(body).map_ok(Outcome::into_value)
    }

    /// Like [`run`](Self::run), and says where the value comes from.
    ///
    /// # Errors
    ///
    /// As [`run`](Self::run).
    ///
    /// # Cancel safety
    ///
    /// As [`run`](Self::run).
    pub fn run_with_outcome<T, E, F>(
        self,
        body: F,
    ) -> impl Future<Output = Result<Outcome<T>, E>> + Send + use<T, E, F, P>
    where
        T: Storable + Send + 'static,
        E: Send + 'static,
        P: Policy<T, E> + Send + Sync + 'static,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let body = Box::pin(body);
        async move {
            let Self { settings, policy, binding: Detached } = self;
            let call = match settings.into_call() {
                Ok(call) => call,
                Err(error) => return Err(policy.map(error)),
            };
            let flight = Arc::clone(&call.flight);
            let whole = async move {
                let ended = observed(&call, &policy, body).await;
                ended.map_err(|failed| failed.into_error(&policy))
            };
            Finish::new(&flight, whole).await
        }
    }
}

/// The call under its span, counted.
async fn observed<T, E, F>(
    call: &Call,
    policy: &impl Policy<T, E>,
    body: Pin<Box<F>>,
) -> Result<Outcome<T>, CallError<E>>
where
    T: Storable,
    F: Future<Output = Result<T, E>>,
{
    let mut report = Report::begin(&call.inner, &call.flight);
    let span = telemetry::span(&call.flight.name);
    let ended = run(call, policy, body, &mut report).instrument(span).await;
    report.ended(call.counted_as(&ended));
    ended
}

impl Settings {
    /// Everything checked and filled in from the handle. What is wrong ends the call, which is counted here, as no report has begun.
    pub(super) fn into_call(self) -> Result<Call, Error> {
        let name = self.name.clone();
        self.check().inspect_err(|error| telemetry::refused(&name, error))
    }

    fn check(self) -> Result<Call, Error> {
        let Self { handle, name: operation, key, fingerprint, tenant, ttl, lease, .. } = self;
        let generator = handle.as_ref().ok().map(|handle| &*handle.key_generator);
        let (key, fingerprint) = match identity(&operation, key, fingerprint, generator) {
            Ok(identity) => identity,
            // A missing handle is reported first.
            Err(error) => return Err(handle.err().unwrap_or(error).on_operation(&operation)),
        };
        let of_key = |error: Error| error.on_operation(&operation).with_key(key.as_str());
        let inner = handle.map_err(of_key)?;
        let record = RecordKey::new(&inner.namespace, tenant.as_deref(), &key).map_err(of_key)?;
        let name = CallName { operation, key, tenant, record, fingerprint };
        // Defaults are the handle's. A default lease is lowered to the operation's ttl, and a default
        // ttl is raised to the operation's lease.
        let lease = lease.unwrap_or_else(|| ttl.map_or(inner.lease, |ttl| ttl.min(inner.lease)));
        let ttl = ttl.unwrap_or(inner.ttl.max(lease));
        check_durations(ttl, lease).map_err(|error| error.of_call(&name))?;
        Ok(Call {
            flight: Flights::candidate(
                name,
                Arc::as_ptr(&inner) as usize,
                lease,
                context::parent(),
            ),
            ttl,
            wait: self.wait,
            on_crash: self.on_crash,
            codec: self.codec.unwrap_or_else(|| inner.codec.clone()),
            max_result_size: inner.max_result_size,
            fail_open: self.fail_open,
            inner,
        })
    }
}

/// The key and the fingerprint of a call of `operation`: either is made of the other.
fn identity(
    operation: &str,
    key: Option<Result<Key, Error>>,
    fingerprint: Option<Result<Fingerprint, Error>>,
    generator: Option<&dyn KeyGenerator>,
) -> Result<(Key, Fingerprint), Error> {
    let fingerprint = fingerprint.transpose()?;
    let key = match (key.transpose()?, fingerprint) {
        (Some(key), _) => key,
        (None, Some(fingerprint)) => {
            generator.unwrap_or(&HashedArguments).generate(operation, fingerprint)?
        }
        (None, None) => {
            let text = "the operation has neither a key nor arguments to make one of";
            return Err(Error::new(ErrorKind::KeyGeneration, text));
        }
    };
    Ok((key, fingerprint.unwrap_or_else(|| Fingerprinter::new(operation).finish())))
}

impl<P, B> fmt::Debug for Operation<P, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operation").field("name", &self.settings.name).finish_non_exhaustive()
    }
}

/// A value that can be a key: a [`Key`], a text that is the [whole key](Key#key-spaces), or the
/// result of making one.
pub trait IntoKey {
    /// The key.
    ///
    /// # Errors
    ///
    /// `KeyGeneration` when it is not valid.
    fn into_key(self) -> Result<Key, Error>;
}

impl IntoKey for Key {
    fn into_key(self) -> Result<Key, Error> {
        Ok(self)
    }
}

impl IntoKey for &Key {
    fn into_key(self) -> Result<Key, Error> {
        Ok(self.clone())
    }
}

impl IntoKey for &str {
    fn into_key(self) -> Result<Key, Error> {
        Key::new(self)
    }
}

impl IntoKey for String {
    fn into_key(self) -> Result<Key, Error> {
        Key::new(self)
    }
}

impl IntoKey for Result<Key, Error> {
    fn into_key(self) -> Result<Key, Error> {
        self
    }
}
