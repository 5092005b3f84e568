//! What a call is counted as, however it ends: also when its future is dropped, or its body panics.
//!
//! | dropped while | counted as | hook and warning |
//! |---|---|---|
//! | it waits for another call, or the claim is asked for: the body has not begun | `withdrawn` | none: nothing has happened |
//! | the body runs | `cancelled` | `on_abandoned`, `Cancelled` |
//! | the outcome is being persisted | `undelivered` | none: a retry replays the outcome |
//!
//! A panic in the body is counted as `panicked`, with the same hook and warning.

use std::sync::Arc;

use super::flight::Flight;
use super::shared::Inner;
use crate::hooks::{AbandonReason, Abandoned};
use crate::record::CrashPolicy;
use crate::telemetry::Timer;

/// A call that has not ended yet.
pub(crate) struct Report {
    inner: Arc<Inner>,
    flight: Arc<Flight>,
    /// `None` once the call is counted.
    timer: Option<Timer>,
    progress: Progress,
    /// The body is not in the in-flight table.
    unlisted: bool,
}

enum Progress {
    /// The body has not begun.
    Waiting,
    Running(Aftermath),
    /// The body has ended.
    Persisting,
}

/// What becomes of the key when the body does not come to its end.
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

impl Report {
    pub(crate) fn begin(inner: &Arc<Inner>, flight: &Arc<Flight>) -> Self {
        let (inner, flight) = (Arc::clone(inner), Arc::clone(flight));
        let timer = Some(Timer::start());
        Self { inner, flight, timer, progress: Progress::Waiting, unlisted: false }
    }

    /// The body is to be polled next.
    pub(crate) fn running(&mut self, aftermath: Aftermath) {
        self.progress = Progress::Running(aftermath);
        self.flight.begin();
        if !aftermath.is_listed() {
            self.unlisted = true;
            self.inner.flights.enter_unlisted();
        }
    }

    /// The body panicked. Counted and told at once, whatever becomes of the call after that.
    pub(crate) fn panicked(&mut self) {
        self.count("panicked");
        self.tell(AbandonReason::Panicked);
    }

    fn cancelled(&mut self) {
        self.count("cancelled");
        self.tell(AbandonReason::Cancelled);
    }

    /// The call has ended by itself.
    pub(crate) fn ended(mut self, outcome: &'static str) {
        self.count(outcome);
    }

    fn count(&mut self, outcome: &'static str) {
        if let Some(timer) = self.timer.take() {
            timer.stop(&self.flight.name.operation, outcome);
        }
    }

    fn tell(&self, reason: AbandonReason) {
        let Progress::Running(aftermath) = self.progress else { return };
        let name = &self.flight.name;
        let (operation, key_hash) = (&name.operation, name.record.key_hash());
        let key_is = aftermath.as_str();
        match reason {
            AbandonReason::Cancelled => {
                tracing::warn!(
                    %operation, %key_hash,
                    "the caller of an operation was dropped while the body ran: {key_is}; \
                     `on_cancel = \"finish\"` lets bodies run to their end without their caller"
                );
            }
            AbandonReason::Panicked => {
                tracing::warn!(%operation, %key_hash, "the body of an operation panicked: {key_is}");
            }
        }
        self.inner.hooks.abandoned(&Abandoned::new(name, reason));
    }
}

/// The report while the body runs. A local after the guard, so that it is dropped before it: a dropped body is told of before its key is
/// released, and before the call is over for [`drain`](super::Idempotency::drain).
pub(crate) struct BodyReport<'r>(pub(crate) &'r mut Report);

impl BodyReport<'_> {
    /// See [`Report::panicked`].
    pub(crate) fn panicked(&mut self) {
        self.0.panicked();
    }

    /// The body has ended.
    pub(crate) fn ended(self) {
        self.0.progress = Progress::Persisting;
    }
}

impl Drop for BodyReport<'_> {
    fn drop(&mut self) {
        if matches!(self.0.progress, Progress::Running(_)) && self.0.timer.is_some() {
            self.0.cancelled();
        }
    }
}

impl Drop for Report {
    fn drop(&mut self) {
        match self.progress {
            _ if self.timer.is_none() => {}
            Progress::Waiting => self.count("withdrawn"),
            Progress::Running(_) => self.cancelled(),
            Progress::Persisting => self.count("undelivered"),
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
