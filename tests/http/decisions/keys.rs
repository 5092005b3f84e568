//! What is decided by what the storage knows of the key.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::routing::post;
use http::{HeaderName, Method, StatusCode};
use idempotency::Key;
use idempotency::fingerprint::Fingerprinter;
use idempotency::http::{IdempotencyLayer, OverLimit, Profile, anonymous};
use idempotency::key::{KeyBuilder, RecordKey};
use idempotency::record::{CrashPolicy, OwnerId};
use idempotency::storage::{Claim, Claimed, Storage};
use idempotency::testing::{Fault, Verb};

use crate::client::Client;
use crate::service::{Counting, Gate, client_of, joined, serve};
use crate::stage::{Count, PATIENCE, Stage};

on_every_storage! {
    d08_nothing_is_handled_while_the_storage_is_down,
    d09_another_request_with_the_key_is_refused,
    d09_mismatch_wins_over_in_progress,
    d10_a_request_that_is_being_handled_is_a_conflict,
    d10_it_is_waited_for,
    d10_and_not_for_ever,
    d11_a_response_is_replayed,
    d12_what_could_not_be_stored_is_not_handled_again,
    d12_a_parked_crash_is_not_handled_again,
    d13_the_quota_is_of_new_keys,
}

async fn d08_nothing_is_handled_while_the_storage_is_down(stage: Stage) {
    let (idem, faults) = stage.process();
    let service = Counting::behind(IdempotencyLayer::new(idem, anonymous())).await;
    faults.always(Verb::Claim, Fault::Refuse);
    let reply = service.client.post("/a", "k", "x").await;
    reply.assert_problem(503, "storage-unavailable");
    assert!(reply.header("retry-after").is_some());
    assert_eq!(service.runs(), 0);
    faults.clear();
    assert_eq!(service.client.post("/a", "k", "x").await.text(), "run 1 of x");
}

async fn d09_another_request_with_the_key_is_refused(stage: Stage) {
    let service = Counting::with(&stage, |layer| {
        let patch_and_post = [Method::POST, Method::PATCH];
        let host = HeaderName::from_static("x-version");
        layer.methods(patch_and_post).fingerprint_headers([http::header::CONTENT_TYPE, host])
    })
    .await;
    let client = &service.client;
    let plain = || client.request(Method::POST, "/a?b=c").header("idempotency-key", "k");
    let first = client.send(plain().header("content-type", "text/plain"), "x").await;
    assert_eq!(first.text(), "run 1 of x");
    let refused = async |request, body: &'static str| {
        client.send(request, body).await.assert_problem(422, "key-reused");
    };
    let keyed = |method, path| {
        client
            .request(method, path)
            .header("idempotency-key", "k")
            .header("content-type", "text/plain")
    };
    refused(keyed(Method::POST, "/a?b=c"), "y").await;
    refused(keyed(Method::POST, "/a?b=c"), "").await;
    refused(keyed(Method::POST, "/other?b=c"), "x").await;
    refused(keyed(Method::POST, "/a?b=d"), "x").await;
    refused(keyed(Method::POST, "/a"), "x").await;
    refused(keyed(Method::PATCH, "/a?b=c"), "x").await;
    refused(keyed(Method::POST, "/a?b=c").header("x-version", "2"), "x").await;
    refused(plain().header("content-type", "text/html"), "x").await;
    assert!(client.send(keyed(Method::POST, "/a?b=c"), "x").await.is_replayed());
    assert_eq!(service.runs(), 1);
}

#[tokio::test]
async fn d09_profiles_say_with_which_status() {
    let stage = Stage::on_memory();
    let service = Counting::with(&stage, |layer| layer.profile(Profile::stripe())).await;
    service.client.post("/a", "k", "x").await;
    service.client.post("/a", "k", "y").await.assert_problem(400, "key-reused");
}

async fn d09_mismatch_wins_over_in_progress(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let client = client_of(gate.handler(), layer).await;
    let elsewhere = IdempotencyLayer::new(stage.idem(), anonymous());
    let other = Counting::behind(elsewhere).await;
    let first = client.post_meanwhile("/a", "k", "x");
    gate.until_begun(1).await;
    client.post("/a", "k", "y").await.assert_problem(422, "key-reused");
    other.client.post("/a", "k", "y").await.assert_problem(422, "key-reused");
    gate.open();
    assert_eq!(joined(first).await.text(), "run 1");
}

async fn d10_a_request_that_is_being_handled_is_a_conflict(stage: Stage) {
    let gate = Gate::default();
    let lease = Duration::from_secs(20);
    let layer =
        || IdempotencyLayer::new(stage.idem(), anonymous()).lease(lease).wait(Duration::ZERO);
    let client = Client::new(serve(Router::new().route("/a", gate.handler()).layer(layer())).await);
    let elsewhere = Counting::behind(layer()).await;
    let first = client.post_meanwhile("/a", "k", "x");
    gate.until_begun(1).await;
    for client in [&client, &elsewhere.client] {
        let reply = client.post("/a", "k", "x").await;
        reply.assert_problem(409, "in-progress");
        // Not what is left of the lease: the response may be there in a moment.
        assert_eq!(reply.header("retry-after").unwrap(), "1");
    }
    gate.open();
    assert_eq!(joined(first).await.text(), "run 1");
    assert_eq!((gate.begun(), elsewhere.runs()), (1, 0));
    assert!(elsewhere.client.post("/a", "k", "x").await.is_replayed());
}

async fn d10_it_is_waited_for(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let client = client_of(gate.handler(), layer).await;
    let post = || {
        let client = client.clone();
        tokio::spawn(async move { client.post("/a", "k", "x").await })
    };
    let all: Vec<_> = (0..5).map(|_| post()).collect();
    gate.until_begun(1).await;
    gate.open();
    let mut replayed = 0;
    for reply in all {
        let reply = joined(reply).await;
        assert_eq!(reply.text(), "run 1");
        replayed += usize::from(reply.is_replayed());
    }
    assert_eq!((gate.begun(), replayed), (1, 4));
}

/// One that has waited as long as it may is told what one is told that does not wait.
async fn d10_and_not_for_ever(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), anonymous()).wait(Duration::from_millis(50));
    let client = client_of(gate.handler(), layer).await;
    let first = client.post_meanwhile("/a", "k", "x");
    gate.until_begun(1).await;
    let reply = client.post("/a", "k", "x").await;
    reply.assert_problem(409, "in-progress");
    assert!(reply.header("retry-after").is_some());
    gate.open();
    assert_eq!(joined(first).await.text(), "run 1");
}

async fn d11_a_response_is_replayed(stage: Stage) {
    let service = Counting::on(&stage).await;
    let elsewhere = Counting::on(&stage).await;
    let first = service.client.post("/a", "k", "x").await;
    assert!(!first.is_replayed());
    for client in [&service.client, &elsewhere.client] {
        let again = client.post("/a", "k", "x").await;
        assert!(again.is_replayed());
        assert_eq!((again.status, again.body), (first.status, first.body.clone()));
    }
    assert_eq!((service.runs(), elsewhere.runs()), (1, 0));
    assert_eq!(service.client.post("/a", "another", "x").await.text(), "run 2 of x");
}

async fn d12_what_could_not_be_stored_is_not_handled_again(stage: Stage) {
    let service = Counting::with(&stage, |layer| layer.response_limit(4, OverLimit::Refuse)).await;
    assert_eq!(service.client.post("/a", "k", "x").await.text(), "run 1 of x");
    for _ in 0..2 {
        let again = service.client.post("/a", "k", "x").await;
        again.assert_problem(409, "response-not-stored");
        assert_eq!(again.header("retry-after"), None);
    }
    assert_eq!(service.runs(), 1);
}

async fn d12_a_parked_crash_is_not_handled_again(stage: Stage) {
    let layer = IdempotencyLayer::new(stage.idem(), anonymous()).on_crash(CrashPolicy::Park);
    let runs = Count::default();
    let counted = Count::clone(&runs);
    let dies = post(async move || -> String {
        counted.fetch_add(1, Ordering::SeqCst);
        panic!("half way")
    });
    let client = client_of(dies, layer).await;
    client.post("/a", "k", "x").await.assert_problem(500, "handler-failed");
    client.post("/a", "k", "x").await.assert_problem(409, "outcome-unknown");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

async fn d13_the_quota_is_of_new_keys(stage: Stage) {
    let hour = Duration::from_secs(3600);
    let service = Counting::with(&stage, |layer| layer.quota(2, hour)).await;
    let client = &service.client;
    assert_eq!(client.post("/a", "k1", "x").await.status, 200);
    assert_eq!(client.post("/a", "k2", "x").await.status, 200);
    for _ in 0..2 {
        let refused = client.post("/a", "k3", "x").await;
        refused.assert_problem(429, "quota-exceeded");
        let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=3600).contains(&seconds), "{seconds}");
    }
    assert!(client.post("/a", "k1", "x").await.is_replayed());
    assert_eq!(service.runs(), 2);
    // A key that was accepted and given back is the client's to use again.
    let layer = IdempotencyLayer::new(stage.idem(), anonymous()).quota(1, hour);
    let runs = Count::default();
    let busy_once = post(async move || match runs.fetch_add(1, Ordering::SeqCst) {
        0 => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::OK,
    });
    let client = client_of(busy_once, layer).await;
    assert_eq!(client.post("/a", "busy", "x").await.status, 503);
    assert_eq!(client.post("/a", "busy", "x").await.status, 200);
    client.post("/a", "new", "x").await.assert_problem(429, "quota-exceeded");
    let elsewhere = Counting::on(&stage).await;
    assert_eq!(elsewhere.client.post("/a", "k3", "x").await.status, 200, "it left nothing behind");
}

/// Records of other key spaces are not in the way: what the application calls its keys, clients cannot choose.
#[tokio::test]
async fn keys_of_the_application_are_not_reached() {
    let stage = Stage::on_memory();
    let template = KeyBuilder::new(0).literal("http:").value("id", "k").unwrap().finish();
    let whole = ["k", "http:k", "http:(k)"].map(Key::new);
    for key in whole.into_iter().chain([template, Key::hash("k", &1)]) {
        let claim = Claim {
            key: RecordKey::new(stage.namespace(), None, &key.unwrap()).unwrap(),
            owner: OwnerId::random(),
            fingerprint: Fingerprinter::new("charge").finish(),
            lease: PATIENCE,
            ttl: PATIENCE,
            on_crash: CrashPolicy::Retry,
        };
        assert!(matches!(stage.storage().claim(&claim).await, Ok(Claimed::Acquired { .. })));
    }
    let service = Counting::on(&stage).await;
    let hash = Key::hash("k", &1).unwrap();
    for (run, key) in ["k", "http:k", "http:(k)", hash.as_str()].into_iter().enumerate() {
        let reply = service.client.post("/a", &format!("\"{key}\""), "x").await;
        assert_eq!(reply.text(), format!("run {} of x", run + 1), "{key}");
    }
}
