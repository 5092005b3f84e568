//! Counters through the `metrics` facade.

/// Describes the metrics to the installed recorder.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "idempotency_outbox_events_total",
        "attempts of relays to publish an event, by outcome"
    );
}

/// Counts attempts to publish an event.
pub(crate) fn count_events(outcome: &'static str, events: usize) {
    metrics::counter!("idempotency_outbox_events_total", "outcome" => outcome)
        .increment(events as u64);
}
