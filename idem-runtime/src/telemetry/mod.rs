//! Spans, and counters where the feature `metrics` is on.
//!
//! Every call is a span `idempotent` at debug level with the operation's name and a hash of the key, never the key. What the feature `metrics`
//! counts is in `docs/metrics.md`, which tests hold against what is counted; a key is never a label. Metrics are described to the recorder
//! that is installed when a handle is built.

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

/// A call was refused before anything could be done for it.
#[cold]
pub(crate) fn refused(operation: &str, error: &Error) {
    Timer::start().stop(operation, error.kind().as_str());
}

/// A record was parked: somebody has to look.
pub(crate) fn parked(name: &CallName) {
    metrics::count_parked(&name.operation);
    tracing::warn!(
        operation = %name.operation,
        key_hash = name.record.key_hash(),
        "an operation is parked: its owner died half way and its outcome is unknown; find out whether it took effect, then resolve its \
         record"
    );
}
