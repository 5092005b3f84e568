//! Counters through the `metrics` facade.

/// Describes the counters to the recorder that is installed.
pub(crate) fn describe() {
    metrics::describe_counter!(
        "idempotency_http_bypassed_total",
        "requests with a key that were handled without idempotency, by reason"
    );
    metrics::describe_counter!(
        "idempotency_http_problems_total",
        "problem documents that clients got, by code"
    );
}

pub(crate) fn bypassed(reason: &'static str) {
    metrics::counter!("idempotency_http_bypassed_total", "reason" => reason).increment(1);
}

pub(crate) fn problem(code: &'static str) {
    metrics::counter!("idempotency_http_problems_total", "code" => code).increment(1);
}
