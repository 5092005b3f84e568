//! Running an operation with a record of its own: the body is dropped with its caller, or outlives
//! it.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::TryFutureExt;
use tracing::Instrument;

use super::call::Call;
use super::finish_on_cancel::FinishOnCancel;
use super::operation::{Attached, Detached, Operation};
use super::outcome::Outcome;
use super::report::CallReport;
use super::run::run;
use crate::policy::{Policy, Storable};
use crate::telemetry;

impl<P> Operation<P> {
    /// Runs the body, or replays the outcome of its first run. Gives the value;
    /// [`run_with_outcome`](Self::run_with_outcome) says where it comes from as well.
    ///
    /// # Errors
    ///
    /// The body's own error, from this run or replayed, or this crate's [`Error`](crate::Error)
    /// made into its type. For these the body has not run:
    ///
    /// | what is wrong | kind |
    /// |---|---|
    /// | the key is empty, too long, not UTF-8 or has control characters; the tenant or the namespace is too long, or the tenant empty; neither key nor fingerprint is given; the arguments cannot be hashed | [`KeyGeneration`](crate::ErrorKind::KeyGeneration) |
    /// | a zero ttl or lease, a ttl shorter than the lease, no tokio runtime with timers | [`Configuration`](crate::ErrorKind::Configuration) |
    /// | no handle is configured | [`NotConfigured`](crate::ErrorKind::NotConfigured) |
    /// | the storage is down, full, or does not answer within the handle's [`claim_timeout`](crate::IdempotencyBuilder::claim_timeout) | [`Storage`](crate::ErrorKind::Storage) |
    /// | the record cannot be read | [`Corrupt`](crate::ErrorKind::Corrupt) |
    ///
    /// The caller gets a result that cannot be encoded, or is too large, as
    /// [`Unrecorded`](crate::Source::Unrecorded); its duplicates get
    /// [`Serialization`](crate::ErrorKind::Serialization) or
    /// [`TooLarge`](crate::ErrorKind::TooLarge). [`ErrorKind`](crate::ErrorKind) lists all other
    /// errors of duplicates.
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
            match settings.into_call() {
                Ok(call) => observed(&call, &policy, body).await,
                Err(error) => Err(policy.map(error)),
            }
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
            let whole = async move { observed(&call, &policy, body).await };
            FinishOnCancel::new(&flight, whole).await
        }
    }
}

/// The call under its span, counted.
async fn observed<T, E, F>(
    call: &Call,
    policy: &impl Policy<T, E>,
    body: Pin<Box<F>>,
) -> Result<Outcome<T>, E>
where
    T: Storable,
    F: Future<Output = Result<T, E>>,
{
    let mut report = CallReport::begin(&call.inner, &call.flight);
    let span = telemetry::span(&call.flight.name);
    let ended = run(call, policy, body, &mut report).instrument(span).await;
    report.ended(call, policy, ended)
}
