//! Counters, where the feature `metrics` is on.
//!
//! They are in `docs/metrics.md`, beside those of the engine, which counts a request like any other
//! call.

#[cfg(feature = "metrics")]
#[path = "metrics_on.rs"]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics_off.rs"]
mod metrics;

pub(crate) use metrics::{bypassed, describe, problem};
