//! What the feature `metrics` counts of HTTP.

use std::collections::BTreeMap;

use axum::Router;
use axum::routing::post;
use idempotency::http::{IdempotencyLayer, OverLimit, anonymous};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::client::Client;
use crate::service::{Counting, serve};
use crate::stage::Stage;

/// The counters of HTTP, each with the only label that it has.
fn counted(of: &Snapshotter) -> BTreeMap<String, u64> {
    let all = of.snapshot().into_vec().into_iter();
    all.filter_map(|(key, _, _, value)| {
        let name = key.key().name().strip_prefix("idempotency_http_")?.to_owned();
        let label = key.key().labels().next()?;
        let DebugValue::Counter(value) = value else { return None };
        Some((format!("{name} {}={}", label.key(), label.value()), value))
    })
    .collect()
}

fn expected(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect()
}

/// On one thread, which is what the recorder is for.
#[tokio::test]
async fn what_passes_through_and_what_is_refused_is_counted() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let service = Counting::with(&Stage::on_memory(), |layer| {
        let layer = layer.request_limit(8, OverLimit::Bypass);
        layer.response_limit(12, OverLimit::Bypass)
    })
    .await;
    let client = &service.client;
    for (key, body) in [("a", "x"), ("a", "x"), ("a", "y"), ("a", "z"), ("", "x")] {
        client.post("/a", key, body).await;
    }
    client.post("/a", "b", "123456789").await;
    client.post("/a", "c", "12345678").await;
    client.post("/a", "c", "12345678").await;
    let streams = post(async || ([("content-type", "text/event-stream")], "data: 1\n\n"));
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let streaming = serve(Router::new().route("/a", streams).layer(layer)).await;
    Client::new(streaming).post("/a", "d", "x").await;
    assert_eq!(
        counted(&snapshotter),
        expected(&[
            ("bypassed_total reason=event-stream", 1),
            ("bypassed_total reason=request-too-large", 1),
            ("bypassed_total reason=response-too-large", 2),
            ("problems_total code=key-malformed", 1),
            ("problems_total code=key-reused", 2),
        ])
    );
}
