//! What is decided before anything is claimed: by a request's head and by whether its body arrives.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use http::Method;
use idempotency::http::{IdempotencyLayer, OverLimit, Profile, anonymous};
use idempotency::testing::Verb;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::service::{Counting, counting, serve};
use crate::stage::{Count, PATIENCE, Stage};

on_every_storage! {
    d01_other_methods_pass_through,
    d02_a_missing_key_is_refused_where_it_is_required,
}

async fn d01_other_methods_pass_through(stage: Stage) {
    let service = Counting::on(&stage).await;
    for method in [Method::GET, Method::PUT, Method::DELETE, Method::GET] {
        let request = service.client.request(method, "/a").header("idempotency-key", "k");
        let reply = service.client.send(request, "").await;
        assert_eq!(reply.status, 200);
        assert!(!reply.is_replayed());
    }
    assert_eq!(service.runs(), 4);
}

async fn d02_a_missing_key_is_refused_where_it_is_required(stage: Stage) {
    let service = Counting::with(&stage, |layer| {
        layer.required_when(|request| request.uri.path() == "/strict")
    })
    .await;
    let send =
        async |path| service.client.send(service.client.request(Method::POST, path), "").await;
    send("/strict").await.assert_problem(400, "key-missing");
    assert_eq!(service.runs(), 0);
    for _ in 0..2 {
        assert_eq!(send("/lenient").await.status, 200);
    }
    assert_eq!(service.runs(), 2);
}

#[tokio::test]
async fn d02_profiles_say_whether_a_key_is_required() {
    let stage = Stage::on_memory();
    for (profile, status) in [(Profile::ietf(), 400), (Profile::stripe(), 200)] {
        let service = Counting::with(&stage, |layer| layer.profile(profile)).await;
        let request = service.client.request(Method::PATCH, "/a");
        assert_eq!(service.client.send(request, "").await.status, status);
    }
}

#[tokio::test]
async fn d03_two_keys_are_refused() {
    let service = Counting::on(&Stage::on_memory()).await;
    let request = service.client.request(Method::POST, "/a");
    let request = request.header("idempotency-key", "a").header("idempotency-key", "a");
    service.client.send(request, "").await.assert_problem(400, "key-repeated");
    assert_eq!(service.runs(), 0);
}

#[tokio::test]
async fn d04_what_is_no_key_is_refused() {
    let service = Counting::on(&Stage::on_memory()).await;
    let code = async |key: &str| service.client.post("/a", key, "").await;
    code("two words").await.assert_problem(400, "key-malformed");
    code("a,b").await.assert_problem(400, "key-malformed");
    code("\"\"").await.assert_problem(400, "key-malformed");
    code("").await.assert_problem(400, "key-malformed");
    code(&"x".repeat(256)).await.assert_problem(400, "key-too-long");
    assert_eq!(service.runs(), 0);
    assert_eq!(code(&"x".repeat(255)).await.status, 200);
}

#[tokio::test]
async fn d04_quoted_and_bare_are_one_key() {
    let service = Counting::on(&Stage::on_memory()).await;
    service.client.post("/a", "\"8e03978e-40d5\"", "").await;
    assert!(service.client.post("/a", "8e03978e-40d5", "").await.is_replayed());
}

#[tokio::test]
async fn d05_an_unknown_principal_is_refused() {
    let stage = Stage::on_memory();
    let by_extension = idempotency::http::extension::<String>();
    let blank = |_: &http::request::Parts| Some(idempotency::http::Principal::named(""));
    for layer in [
        IdempotencyLayer::new(stage.idem(), by_extension),
        IdempotencyLayer::new(stage.idem(), blank),
    ] {
        let service = Counting::behind(layer).await;
        service.client.post("/a", "k", "").await.assert_problem(403, "principal-unknown");
        assert_eq!(service.runs(), 0);
    }
}

#[tokio::test]
async fn d06_a_body_over_the_limit_is_refused() {
    let stage = Stage::on_memory();
    let service = Counting::with(&stage, |layer| layer.request_limit(8, OverLimit::Refuse)).await;
    service.client.post("/a", "k", "123456789").await.assert_problem(413, "body-too-large");
    assert_eq!(service.runs(), 0);
    assert_eq!(service.client.post("/a", "k", "12345678").await.status, 200);
}

#[tokio::test]
async fn d06_or_it_passes_through_and_the_response_says_so() {
    let stage = Stage::on_memory();
    let service = Counting::with(&stage, |layer| layer.request_limit(8, OverLimit::Bypass)).await;
    for run in 1..=2 {
        let reply = service.client.post("/a", "k", "123456789").await;
        assert_eq!(reply.text(), format!("run {run} of 123456789"));
        assert_eq!(reply.header("idempotency-bypassed"), Some("request-too-large"));
    }
}

#[tokio::test]
async fn d07_a_body_that_does_not_arrive_claims_nothing() {
    let stage = Stage::on_memory();
    let (idem, faults) = stage.process();
    let layer = IdempotencyLayer::new(idem, anonymous()).body_timeout(Duration::from_millis(50));
    let runs = Count::default();
    let router = Router::new().route("/a", counting(&runs)).layer(layer);
    let mut slow = TcpStream::connect(serve(router).await).await.unwrap();
    let head =
        "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\ncontent-length: 10\r\n\r\nhalf";
    slow.write_all(head.as_bytes()).await.unwrap();
    let mut reply = [0; 12];
    tokio::time::timeout(PATIENCE, slow.read_exact(&mut reply)).await.unwrap().unwrap();
    assert_eq!(&reply, b"HTTP/1.1 408");
    assert_eq!(faults.calls(Verb::Claim), 0);
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}
