//! What the feature `metrics` counts of HTTP.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::routing::post;
use idempotency::http::{IdempotencyLayer, OverLimit, anonymous};
use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use testkit::pages;

use crate::client::Client;
use crate::service::{Counting, serve};
use crate::stage::Stage;
use crate::wire::exchange;

const METRICS: &str = include_str!("../../docs/metrics.md");

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

/// Each counter, reason and code that the page of metrics has.
#[tokio::test]
async fn the_page_of_metrics_lists_what_is_counted_of_http() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let limited = |layer: IdempotencyLayer| {
        let layer = layer.request_limit(8, OverLimit::Bypass);
        layer.response_limit(12, OverLimit::Bypass)
    };
    let service = Counting::with(&Stage::on_memory(), limited).await;
    service.client.post("/a", "", "x").await.assert_problem(400, "key-malformed");
    service.client.post("/a", "b", "123456789").await;
    service.client.post("/a", "c", "12345678").await;
    for (name, value) in [("content-type", "text/event-stream"), ("upgrade", "x")] {
        let answer = post(async move || {
            let status = if name == "upgrade" { 101 } else { 200 };
            (StatusCode::from_u16(status).unwrap(), [(name, value)], "data: 1\n\n")
        });
        let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
        let addr = serve(Router::new().route("/a", answer).layer(layer)).await;
        let request = "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\nupgrade: x\r\n\
                       connection: upgrade, close\r\ncontent-length: 1\r\n\r\nx";
        exchange(addr, request).await;
    }
    let (mut names, mut reasons) = (BTreeSet::new(), BTreeSet::new());
    for (key, _, description, _) in snapshotter.snapshot().into_vec() {
        let (kind, key) = (key.kind(), key.key());
        if !key.name().starts_with("idempotency_http_") {
            continue;
        }
        assert!(description.is_some() && kind == MetricKind::Counter, "{key:?}");
        let labels: Vec<_> = key.labels().map(metrics::Label::key).collect();
        names.insert((key.name().to_owned(), labels.join(",")));
        let of_reason = key.labels().filter(|label| label.key() == "reason");
        reasons.extend(of_reason.map(|label| label.value().to_owned()));
    }
    let rows = pages::table(METRICS, "## Metrics").into_iter();
    let listed: BTreeSet<_> = rows
        .map(|row| (pages::code(&row[0]).concat(), pages::code(&row[2]).join(",")))
        .filter(|(name, _)| name.starts_with("idempotency_http_"))
        .collect();
    assert_eq!(names, listed);
    let rows = pages::table(METRICS, "## Reasons of bypasses").into_iter();
    assert_eq!(reasons, rows.map(|row| pages::code(&row[0]).concat()).collect());
    // The codes have a page of their own, which another test holds against the kinds of problems.
}

/// A request that the engine refuses before its storage is asked is a call like others.
#[tokio::test]
async fn a_request_is_counted_as_a_call_whatever_ends_it() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let refusing = |layer: IdempotencyLayer| layer.ttl(Duration::ZERO);
    let refused = Counting::with(&Stage::on_memory(), refusing).await;
    refused.client.post("/a", "k", "x").await.assert_problem(500, "misconfigured");
    let service = Counting::on(&Stage::on_memory()).await;
    for body in ["x", "x", "y"] {
        service.client.post("/a", "k", body).await;
    }
    let calls = snapshotter.snapshot().into_vec().into_iter().filter_map(|(key, _, _, value)| {
        let outcome = key.key().labels().find(|label| label.key() == "outcome")?.value().to_owned();
        let DebugValue::Counter(calls) = value else { return None };
        Some((outcome, calls))
    });
    let counts = [("configuration", 1), ("executed", 1), ("mismatch", 1), ("replayed", 1)];
    assert_eq!(calls.collect::<BTreeMap<_, _>>(), expected(&counts));
}
