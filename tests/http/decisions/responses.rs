//! What is decided by how the handler ends.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::post;
use http::{HeaderName, Method, StatusCode};
use hyper_util::rt::TokioIo;
use idempotency::http::{IdempotencyLayer, OverLimit, Profile, anonymous};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::service::{Counting, client_of, serve};
use crate::stage::{Count, PATIENCE, Stage};

on_every_storage! {
    d14_a_panic_is_a_crash_by_policy,
    d15_a_failure_that_may_pass_releases_the_key,
    d16_an_event_stream_passes_through,
    d17_a_response_is_stored_as_it_is,
}

async fn d14_a_panic_is_a_crash_by_policy(stage: Stage) {
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let runs = Count::default();
    let counted = Count::clone(&runs);
    let dies_once = post(async move || {
        assert_ne!(counted.fetch_add(1, Ordering::SeqCst), 0, "half way");
        "done"
    });
    let client = client_of(dies_once, layer).await;
    let first = client.post("/a", "k", "x").await;
    first.assert_problem(500, "handler-failed");
    assert!(!first.text().contains("half way"));
    assert_eq!(client.post("/a", "k", "x").await.text(), "done");
    assert!(client.post("/a", "k", "x").await.is_replayed());
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

async fn d15_a_failure_that_may_pass_releases_the_key(stage: Stage) {
    let runs = Count::default();
    let counted = Count::clone(&runs);
    let answers = post(async move |status: String| {
        counted.fetch_add(1, Ordering::SeqCst);
        match status.as_str() {
            "busy" => (StatusCode::CONFLICT, [("retry-after", "1")], "").into_response(),
            status => StatusCode::from_bytes(status.as_bytes()).unwrap().into_response(),
        }
    });
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let client = client_of(answers, layer).await;
    let mut before = 0;
    let mut ran = async |status: &str, times: usize| {
        for _ in 0..times {
            client.post("/a", status, status).await;
        }
        let now = runs.load(Ordering::SeqCst);
        let ran = now - before;
        before = now;
        ran
    };
    for released in ["401", "408", "425", "429", "500", "502", "503", "504", "busy"] {
        assert_eq!(ran(released, 2).await, 2, "{released}");
    }
    for stored in ["200", "201", "204", "303", "400", "403", "404", "409", "422"] {
        assert_eq!(ran(stored, 2).await, 1, "{stored}");
    }
}

#[tokio::test]
async fn d15_the_profile_says_which_statuses_are_stored() {
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let runs = Count::default();
    let counted = Count::clone(&runs);
    let fails = post(async move || {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::INTERNAL_SERVER_ERROR
    });
    let router = Router::new().route("/a", fails).layer(layer.profile(Profile::stripe()));
    let client = Client::new(serve(router).await);
    client.post("/a", "k", "x").await;
    let again = client.post("/a", "k", "x").await;
    assert!(again.is_replayed());
    assert_eq!(again.status, 500);
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn d16_an_event_stream_passes_through(stage: Stage) {
    let runs = Count::default();
    let counted = Count::clone(&runs);
    let streams = post(async move || {
        let run = counted.fetch_add(1, Ordering::SeqCst) + 1;
        let kind = [("content-type", "text/event-stream; charset=utf-8")];
        (kind, format!("data: {run}\n\n"))
    });
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let client = client_of(streams, layer).await;
    for run in 1..=2 {
        let reply = client.post("/a", "k", "x").await;
        assert_eq!(reply.text(), format!("data: {run}\n\n"));
        assert!(!reply.is_replayed());
    }
}

/// Under `Upgrade` a client may also hope for HTTP/2 and get its response as ever, so it is the response that decides.
#[tokio::test]
async fn d16_an_upgrade_passes_through_if_there_is_one() {
    let upgrades = post(async move |request: axum::extract::Request| {
        if request.headers()["upgrade"] != "shouting" {
            return "not upgraded".into_response();
        }
        tokio::spawn(async move {
            let upgraded = hyper::upgrade::on(request).await.unwrap();
            let mut upgraded = TokioIo::new(upgraded);
            let mut heard = [0; 5];
            upgraded.read_exact(&mut heard).await.unwrap();
            upgraded.write_all(&heard.to_ascii_uppercase()).await.unwrap();
        });
        let headers = [("connection", "upgrade"), ("upgrade", "shouting")];
        (StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    });
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let addr = serve(Router::new().route("/a", upgrades).layer(layer)).await;
    for _ in 0..2 {
        let mut stream = TcpStream::connect(addr).await.unwrap();
        let head = "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\nconnection: upgrade\r\n\
                    upgrade: shouting\r\n\r\nhello";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut reply = Vec::new();
        tokio::time::timeout(PATIENCE, stream.read_to_end(&mut reply)).await.unwrap().unwrap();
        let reply = String::from_utf8(reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 101 ") && reply.ends_with("\r\n\r\nHELLO"), "{reply}");
    }
    let client = Client::new(addr);
    let ordinary = || {
        let request = client.request(Method::POST, "/a").header("idempotency-key", "k2");
        client.send(request.header("upgrade", "h2c"), "x")
    };
    assert_eq!(ordinary().await.text(), "not upgraded");
    assert!(ordinary().await.is_replayed());
}

#[tokio::test]
async fn d16_a_response_over_the_limit_may_release_its_key() {
    let stage = Stage::on_memory();
    let service = Counting::with(&stage, |layer| layer.response_limit(4, OverLimit::Bypass)).await;
    for run in 1..=2 {
        let reply = service.client.post("/a", "k", "x").await;
        assert_eq!(reply.text(), format!("run {run} of x"));
        assert_eq!(reply.header("idempotency-bypassed"), Some("response-too-large"));
    }
}

async fn d17_a_response_is_stored_as_it_is(stage: Stage) {
    let body: Vec<u8> = (0..=255).cycle().take(3000).collect();
    let sent = body.clone();
    let answers = post(async move || {
        let headers = [
            ("content-type", "application/octet-stream"),
            ("content-encoding", "x-own"),
            ("location", "/a/1"),
            ("link", "<b>; rel=next"),
            ("link", "<a>; rel=prev"),
            ("vary", "accept"),
            ("x-own", "1"),
            ("x-other", "1"),
        ];
        let mut response = (StatusCode::CREATED, sent.clone()).into_response();
        response.headers_mut().clear();
        for (name, value) in headers {
            response.headers_mut().append(name, value.parse().unwrap());
        }
        response
    });
    let own = HeaderName::from_static("x-own");
    let layer = IdempotencyLayer::new(stage.idem(), anonymous()).replay_header(own);
    let client = client_of(answers, layer).await;
    let first = client.post("/a", "k", "x").await;
    assert_eq!(first.header("x-other"), Some("1"));
    let again = client.post("/a", "k", "x").await;
    assert!(again.is_replayed());
    assert_eq!((again.status, &again.body[..]), (StatusCode::CREATED, &body[..]));
    let of_first = first.headers.get_all("link");
    assert!(of_first.iter().eq(again.headers.get_all("link").iter()));
    assert_eq!(of_first.iter().count(), 2);
    for kept in ["content-type", "content-encoding", "location", "vary", "x-own"] {
        assert_eq!(first.header(kept), again.header(kept), "{kept}");
        assert!(again.header(kept).is_some(), "{kept}");
    }
    assert_eq!(again.header("x-other"), None);
}
