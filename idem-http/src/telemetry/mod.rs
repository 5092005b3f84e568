//! Counters, where the feature `metrics` is on.
//!
//! Besides what the engine counts for every operation: `idempotency_http_bypassed_total{reason}` counts what passed through without
//! idempotency although it had a key, `idempotency_http_problems_total{code}` the problems that clients were told of.

#[cfg(feature = "metrics")]
#[path = "metrics_on.rs"]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics_off.rs"]
mod metrics;

pub(crate) use metrics::{bypassed, problem};
