//! What can be set otherwise.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::routing::post;
use http::{HeaderName, Method, StatusCode};
use idempotency::http::{IdempotencyLayer, ProblemKind, Profile, anonymous};
use idempotency::testing::{Fault, Verb};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::service::{Counting, client_of};
use crate::stage::{Count, PATIENCE, Stage};
use crate::wire::begin;

#[tokio::test]
async fn another_header_may_hold_the_key() {
    let name = HeaderName::from_static("x-request-id");
    let service = Counting::with(&Stage::on_memory(), |layer| layer.header(name.clone())).await;
    let send = async |header: &HeaderName| {
        let request = service.client.request(Method::POST, "/a").header(header, "k");
        service.client.send(request, "x").await
    };
    assert_eq!(send(&name).await.text(), "run 1 of x");
    assert!(send(&name).await.is_replayed());
    send(&HeaderName::from_static("idempotency-key")).await.assert_problem(400, "key-missing");
}

#[tokio::test]
async fn problems_may_have_other_statuses() {
    let profile =
        Profile::ietf().status(ProblemKind::KeyMissing, StatusCode::PRECONDITION_REQUIRED);
    let service = Counting::with(&Stage::on_memory(), |layer| layer.profile(profile)).await;
    let request = service.client.request(Method::POST, "/a");
    service.client.send(request, "x").await.assert_problem(428, "key-missing");
}

#[tokio::test]
async fn keys_may_be_as_long_as_the_profile_says() {
    for (max, longest) in [(8, 8), (500, 500), (usize::MAX, 500)] {
        let profile = Profile::ietf().max_key_len(max);
        let service = Counting::with(&Stage::on_memory(), |layer| layer.profile(profile)).await;
        let post = async |len| service.client.post("/a", &"k".repeat(len), "x").await;
        post(longest + 1).await.assert_problem(400, "key-too-long");
        assert_eq!(post(longest).await.status, 200);
        assert!(post(longest).await.is_replayed());
    }
}

#[tokio::test]
async fn which_statuses_are_stored_may_be_said() {
    let runs = Count::default();
    let counted = Count::clone(&runs);
    let answers = post(async move |status: String| {
        counted.fetch_add(1, Ordering::SeqCst);
        StatusCode::from_bytes(status.as_bytes()).unwrap()
    });
    let profile = Profile::ietf().stores(|status| status.is_success());
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous()).profile(profile);
    let client = client_of(answers, layer).await;
    for (status, replayed) in [("200", true), ("404", false), ("500", false)] {
        client.post("/a", status, status).await;
        assert_eq!(client.post("/a", status, status).await.is_replayed(), replayed, "{status}");
    }
    assert_eq!(runs.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn while_the_storage_is_down_requests_may_be_handled_all_the_same() {
    let (idem, faults) = Stage::on_memory().process();
    let layer = IdempotencyLayer::new(idem, anonymous()).fail_open();
    let service = Counting::behind(layer).await;
    faults.always(Verb::Claim, Fault::Refuse);
    for run in 1..=2 {
        let reply = service.client.post("/a", "k", "x").await;
        assert_eq!(reply.text(), format!("run {run} of x"));
        assert!(!reply.is_replayed());
    }
    faults.clear();
    assert_eq!(service.client.post("/a", "k", "x").await.text(), "run 3 of x");
    assert!(service.client.post("/a", "k", "x").await.is_replayed());
}

/// The time is that of the whole body: one that never stops to arrive, a byte at a time, does not hold on for ever.
#[tokio::test]
async fn a_body_that_drips_has_no_more_time_than_one_that_stands_still() {
    let timeout = Duration::from_millis(300);
    let service = Counting::with(&Stage::on_memory(), |layer| layer.body_timeout(timeout)).await;
    let head =
        "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\ncontent-length: 100000\r\n\r\n";
    let (mut replies, mut requests) = begin(service.addr, head).await.into_split();
    let dripping = tokio::spawn(async move {
        while requests.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    });
    let mut reply = [0; 12];
    tokio::time::timeout(PATIENCE, replies.read_exact(&mut reply)).await.unwrap().unwrap();
    assert_eq!(&reply, b"HTTP/1.1 408");
    assert_eq!(service.runs(), 0);
    dripping.abort();
}
