//! Counting a call by its outcome, also when its future is dropped or its body panics.
//!
//! | dropped while | counted as | hook and warning |
//! |---|---|---|
//! | it waits for another call, or the claim is asked for: the body has not begun | `withdrawn` | none: nothing has happened |
//! | the body runs | `cancelled` | `on_abandoned`, `Cancelled` |
//! | the outcome is being persisted | `undelivered` | none: a retry replays the outcome |
//!
//! A panic in the body is counted as `panicked`, with the same hook and warning.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::Arc;

use futures_util::FutureExt;

use super::call::{Call, CallError};
use super::context;
use super::flight::Flight;
use super::outcome::Outcome;
use super::shared::SharedHandle;
use crate::hooks::{AbandonReason, Abandoned};
use crate::policy::MapError;
use crate::record::CrashPolicy;
use crate::telemetry::Timer;

/// A call that has not ended yet.
pub(crate) struct CallReport {
    inner: Arc<SharedHandle>,
    flight: Arc<Flight>,
    /// `None` once the call is counted.
    timer: Option<Timer>,
    progress: CallProgress,
    /// The body is not in the in-flight table.
    unlisted: bool,
}

enum CallProgress {
    /// The body has not begun.
    Waiting,
    Running(Aftermath),
    /// The body has ended.
    Persisting,
}

/// The state of the key after a body that is cancelled or panics.
#[derive(Clone, Copy)]
pub(crate) enum Aftermath {
    Released,
    Parked,
    /// The record is part of a transaction.
    #[cfg(feature = "_sql")]
    RolledBack,
    /// There is no record: the operation fails open.
    Unrecorded,
}

impl CallReport {
    pub(crate) fn begin(inner: &Arc<SharedHandle>, flight: &Arc<Flight>) -> Self {
        let (inner, flight) = (Arc::clone(inner), Arc::clone(flight));
        let timer = Some(Timer::start());
        Self { inner, flight, timer, progress: CallProgress::Waiting, unlisted: false }
    }

    /// The body is to be polled next.
    pub(crate) fn running(&mut self, aftermath: Aftermath) {
        self.progress = CallProgress::Running(aftermath);
        self.flight.begin();
        if !aftermath.is_listed() {
            self.unlisted = true;
            self.inner.flights.enter_unlisted();
        }
    }

    /// Polls a body that has no guard, and reports its panic.
    pub(crate) async fn watch<F: Future>(&mut self, body: F) -> F::Output {
        let body = context::scope(Arc::clone(&self.flight), body);
        AssertUnwindSafe(body).catch_unwind().await.unwrap_or_else(|panic| {
            self.abandoned(AbandonReason::Panicked);
            resume_unwind(panic)
        })
    }

    /// Counts a completed call, and returns its result in the operation's own error type.
    pub(crate) fn ended<T, E>(
        mut self,
        call: &Call,
        map: &impl MapError<E>,
        result: Result<Outcome<T>, CallError<E>>,
    ) -> Result<Outcome<T>, E> {
        self.count(call.counted_as(&result));
        result.map_err(|error| error.into_error(map))
    }

    fn count(&mut self, outcome: &'static str) {
        if let Some(timer) = self.timer.take() {
            timer.stop(&self.flight.name.operation, outcome);
        }
    }

    /// Counts and reports a body that was cancelled or has panicked.
    pub(crate) fn abandoned(&mut self, reason: AbandonReason) {
        let CallProgress::Running(aftermath) = self.progress else { return };
        self.count(match reason {
            AbandonReason::Cancelled => "cancelled",
            AbandonReason::Panicked => "panicked",
        });
        let name = &self.flight.name;
        let (operation, key_hash) = (&name.operation, name.record.key_hash());
        let key_is = aftermath.as_str();
        match reason {
            AbandonReason::Cancelled => {
                tracing::warn!(
                    %operation, %key_hash,
                    "the caller of an operation was dropped while the body ran: {key_is}; \
                     `on_cancel = \"finish\"` lets bodies run to completion without their caller"
                );
            }
            AbandonReason::Panicked => {
                tracing::warn!(%operation, %key_hash, "the body of an operation panicked: {key_is}");
            }
        }
        self.inner.hooks.abandoned(&Abandoned::new(name, reason));
    }
}

/// The report while the body runs. It is dropped before the guard, so a cancelled body is reported
/// before its key is released, and before [`drain`](super::Idempotency::drain) returns.
pub(crate) struct BodyReport<'r>(pub(crate) &'r mut CallReport);

impl BodyReport<'_> {
    /// The body has ended.
    pub(crate) fn ended(self) {
        self.0.progress = CallProgress::Persisting;
    }
}

impl Drop for BodyReport<'_> {
    fn drop(&mut self) {
        if matches!(self.0.progress, CallProgress::Running(_)) && self.0.timer.is_some() {
            self.0.abandoned(AbandonReason::Cancelled);
        }
    }
}

impl Drop for CallReport {
    fn drop(&mut self) {
        match self.progress {
            _ if self.timer.is_none() => {}
            CallProgress::Waiting => self.count("withdrawn"),
            CallProgress::Running(_) => self.abandoned(AbandonReason::Cancelled),
            CallProgress::Persisting => self.count("undelivered"),
        }
        if self.unlisted {
            self.inner.flights.leave_unlisted();
        }
    }
}

impl Aftermath {
    pub(crate) fn by(policy: CrashPolicy) -> Self {
        match policy {
            CrashPolicy::Retry => Self::Released,
            CrashPolicy::Park => Self::Parked,
        }
    }

    /// Whether the body is in the in-flight table.
    fn is_listed(self) -> bool {
        matches!(self, Self::Released | Self::Parked)
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Released => {
                "its key is released and the next call runs the body again, so an effect may happen twice"
            }
            Self::Parked => {
                "its key is parked and calls get `Indeterminate` until a person has resolved it"
            }
            #[cfg(feature = "_sql")]
            Self::RolledBack => {
                "roll its transaction back, and the next call runs the body again with nothing done"
            }
            Self::Unrecorded => {
                "nothing is recorded, since the operation failed open, and the next call runs the body again"
            }
        }
    }
}
