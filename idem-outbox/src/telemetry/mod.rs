//! Counters, where the feature `metrics` is on.

#[cfg(feature = "metrics")]
#[path = "metrics_on.rs"]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics_off.rs"]
mod metrics;

pub(crate) use metrics::{count_events, describe};
