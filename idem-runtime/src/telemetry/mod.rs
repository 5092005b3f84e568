//! Spans, and metrics with the feature `metrics`.
//!
//! Every call has a span `idempotent` at debug level with the operation's name and a hash of the
//! key, never the key. `docs/metrics.md` lists the metrics, and tests compare the list with the
//! recorded ones; a key is never a label. Building a handle describes the metrics to the installed
//! recorder.

#[cfg(feature = "metrics")]
#[path = "metrics_on.rs"]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics_off.rs"]
mod metrics;

pub(crate) use metrics::{Timer, count_waiting_parked, describe};

use tracing::Span;

use crate::error::Error;
use crate::key::CallName;

/// The span of a call.
pub(crate) fn span(name: &CallName) -> Span {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return Span::none();
    }
    tracing::debug_span!("idempotent", operation = %name.operation, key_hash = name.record.key_hash())
}

/// Counts a call that failed before it reached the storage.
#[cold]
pub(crate) fn refused(operation: &str, error: &Error) {
    Timer::start().stop(operation, error.kind().as_str());
}

/// Counts and logs a parked record, which needs an operator.
pub(crate) fn parked(name: &CallName) {
    metrics::count_parked(&name.operation);
    tracing::warn!(
        operation = %name.operation,
        key_hash = name.record.key_hash(),
        "an operation is parked: its owner crashed and its outcome is unknown; find out whether it took effect, then resolve its \
         record"
    );
}
