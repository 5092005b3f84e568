//! Spans, and counters where the feature `metrics` is on.
//!
//! Every call is a span `idempotent` at debug level with the operation's name and a hash of the key, never the key. With the feature
//! `metrics` every call is counted in `idempotency_calls_total{operation, outcome}` and timed in
//! `idempotency_call_seconds{operation, outcome}`; a key is never a label.
//! Beside the kinds of errors the outcomes are `executed`, `recovered`, `replayed`, `unrecorded`, `failed` (by the body), `panicked` and,
//! where the call's future was dropped, `withdrawn` before the body, `cancelled` in it, and `undelivered` after it.
//! The relays of an outbox count what becomes of events in `idempotency_outbox_events_total{outcome}`: `published`, `failed`, `dead`.

#[cfg(feature = "metrics")]
#[path = "metrics_on.rs"]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics_off.rs"]
mod metrics;

pub(crate) use metrics::Timer;
#[cfg(all(feature = "outbox", feature = "_sql"))]
pub(crate) use metrics::count_events;

use sha2::{Digest, Sha256};
use tracing::Span;

use crate::engine::CallName;

/// The span of a call.
pub(crate) fn span(name: &CallName) -> Span {
    if !tracing::enabled!(tracing::Level::DEBUG) {
        return Span::none();
    }
    tracing::debug_span!("idempotent", operation = %name.operation, key_hash = key_hash(name))
}

/// Sixteen hex digits of SHA-256, the same in every process, so that the calls for one key are found together.
pub(crate) fn key_hash(name: &CallName) -> String {
    let hash: [u8; 32] = Sha256::digest(name.record.as_str()).into();
    hash.first_chunk()
        .map_or_else(String::new, |head| format!("{:016x}", u64::from_be_bytes(*head)))
}
