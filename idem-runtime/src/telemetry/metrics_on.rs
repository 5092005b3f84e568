//! Counters and histograms through the `metrics` facade.

use std::time::Instant;

/// Measures one call.
pub(crate) struct Timer(Instant);

impl Timer {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    /// Counts the call as `outcome`.
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

/// Counts events of an outbox.
#[cfg(all(feature = "outbox", feature = "_sql"))]
pub(crate) fn count_events(outcome: &'static str, events: usize) {
    metrics::counter!("idempotency_outbox_events_total", "outcome" => outcome)
        .increment(events as u64);
}
