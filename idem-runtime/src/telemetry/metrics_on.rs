//! Counters and histograms through the `metrics` facade.

use std::time::Instant;

use metrics::Unit;

/// Measures one call.
pub(crate) struct Timer(Instant);

impl Timer {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Counts the call with `outcome`.
    pub(crate) fn stop(self, operation: &str, outcome: &'static str) {
        let labels = [
            metrics::Label::new("operation", operation.to_owned()),
            metrics::Label::from_static_parts("outcome", outcome),
        ];
        metrics::counter!("idempotency_calls_total", labels.iter()).increment(1);
        metrics::histogram!("idempotency_call_seconds", labels.iter())
            .record(self.0.elapsed().as_secs_f64());
    }
}

/// Describes the metrics to the installed recorder.
pub(crate) fn describe() {
    metrics::describe_counter!("idempotency_calls_total", "calls, by operation and outcome");
    metrics::describe_histogram!(
        "idempotency_call_seconds",
        Unit::Seconds,
        "duration of calls, by operation and outcome"
    );
    metrics::describe_counter!(
        "idempotency_parked_total",
        "records that this process has parked because their owner died under on_crash = \"park\""
    );
    metrics::describe_gauge!(
        "idempotency_parked",
        "records that this process has parked, at most 10,000 for each handle, and has not heard to be resolved; what other processes \
         parked, or this one before its start, is not among them, and what was resolved and not called again still is"
    );
}

/// Counts a parked record.
pub(crate) fn count_parked(operation: &str) {
    metrics::counter!("idempotency_parked_total", "operation" => operation.to_owned()).increment(1);
}

/// Adjusts the gauge of parked records that this process knows to be unresolved.
pub(crate) fn count_waiting_parked(operation: &str, change: i32) {
    metrics::gauge!("idempotency_parked", "operation" => operation.to_owned())
        .increment(f64::from(change));
}
