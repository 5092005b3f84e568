//! Counters through the `metrics` facade.

pub(crate) fn bypassed(reason: &'static str) {
    metrics::counter!("idempotency_http_bypassed_total", "reason" => reason).increment(1);
}

pub(crate) fn problem(code: &'static str) {
    metrics::counter!("idempotency_http_problems_total", "code" => code).increment(1);
}
