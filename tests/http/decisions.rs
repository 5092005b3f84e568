//! What becomes of a request: one test for each number of the layer's list.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::post;
use http::{HeaderName, Method, StatusCode};
use hyper_util::rt::TokioIo;
use idempotency::http::{IdempotencyLayer, OverLimit, Profile, anonymous};
use idempotency::record::{CrashPolicy, OwnerId};
use idempotency::storage::{Claim, Claimed, Storage};
use idempotency::testing::{Fault, Verb};
use idempotency::{Fingerprinter, Key, RecordKey};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::Client;
use crate::service::{Counting, Gate, joined, serve};
use crate::stage::{Count, PATIENCE, Stage};

on_every_storage! {
    d01_other_methods_pass_through,
    d02_a_missing_key_is_refused_where_it_is_required,
    d08_nothing_is_handled_while_the_storage_is_down,
    d09_another_request_with_the_key_is_refused,
    d09_mismatch_wins_over_in_progress,
    d10_a_request_that_is_being_handled_is_a_conflict,
    d10_or_it_is_waited_for,
    d11_a_response_is_replayed,
    d12_what_could_not_be_stored_is_not_handled_again,
    d12_a_parked_crash_is_not_handled_again,
    d13_the_quota_is_of_new_keys,
    d14_a_panic_is_a_crash_by_policy,
    d15_a_failure_that_may_pass_releases_the_key,
    d16_an_event_stream_passes_through,
    d17_a_response_is_stored_as_it_is,
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
    let router = Router::new().route("/a", crate::service::counting(&runs)).layer(layer);
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
    let client = Client::new(serve(Router::new().route("/a", gate.handler()).layer(layer)).await);
    let elsewhere = IdempotencyLayer::new(stage.idem(), anonymous());
    let other = Counting::behind(elsewhere).await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.post("/a", "k", "x").await }
    });
    gate.until_begun(1).await;
    client.post("/a", "k", "y").await.assert_problem(422, "key-reused");
    other.client.post("/a", "k", "y").await.assert_problem(422, "key-reused");
    gate.open();
    assert_eq!(joined(first).await.text(), "run 1");
}

async fn d10_a_request_that_is_being_handled_is_a_conflict(stage: Stage) {
    let gate = Gate::default();
    let lease = Duration::from_secs(20);
    let layer = || IdempotencyLayer::new(stage.idem(), anonymous()).lease(lease);
    let client = Client::new(serve(Router::new().route("/a", gate.handler()).layer(layer())).await);
    let elsewhere = Counting::behind(layer()).await;
    let first = tokio::spawn({
        let client = client.clone();
        async move { client.post("/a", "k", "x").await }
    });
    gate.until_begun(1).await;
    for client in [&client, &elsewhere.client] {
        let reply = client.post("/a", "k", "x").await;
        reply.assert_problem(409, "in-progress");
        let seconds: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=20).contains(&seconds), "{seconds}");
    }
    gate.open();
    assert_eq!(joined(first).await.text(), "run 1");
    assert_eq!((gate.begun(), elsewhere.runs()), (1, 0));
    assert!(elsewhere.client.post("/a", "k", "x").await.is_replayed());
}

async fn d10_or_it_is_waited_for(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), anonymous()).wait(PATIENCE);
    let client = Client::new(serve(Router::new().route("/a", gate.handler()).layer(layer)).await);
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
    let client = Client::new(serve(Router::new().route("/a", dies).layer(layer)).await);
    client.post("/a", "k", "x").await.assert_problem(500, "handler-failed");
    // A panic is recorded while its client already has the answer.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let again = client.post("/a", "k", "x").await;
        if again.text().contains("outcome-unknown") {
            break again.assert_problem(409, "outcome-unknown");
        }
        again.assert_problem(409, "in-progress");
        assert!(tokio::time::Instant::now() < deadline, "it is never parked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
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
    let elsewhere = Counting::on(&stage).await;
    assert_eq!(elsewhere.client.post("/a", "k3", "x").await.status, 200, "it left nothing behind");
}

async fn d14_a_panic_is_a_crash_by_policy(stage: Stage) {
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let runs = Count::default();
    let counted = Count::clone(&runs);
    let dies_once = post(async move || {
        assert_ne!(counted.fetch_add(1, Ordering::SeqCst), 0, "half way");
        "done"
    });
    let client = Client::new(serve(Router::new().route("/a", dies_once).layer(layer)).await);
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
    let client = Client::new(serve(Router::new().route("/a", answers).layer(layer)).await);
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
    let client = Client::new(serve(Router::new().route("/a", streams).layer(layer)).await);
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
    let client = Client::new(serve(Router::new().route("/a", answers).layer(layer)).await);
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

/// A record of another key space is not in the way: what functions are keyed by, clients cannot choose.
#[tokio::test]
async fn keys_of_functions_are_not_reached() {
    let stage = Stage::on_memory();
    let claim = Claim {
        key: RecordKey::new(stage.namespace(), None, &Key::new("k").unwrap()).unwrap(),
        owner: OwnerId::random(),
        fingerprint: Fingerprinter::new("charge").finish(),
        lease: PATIENCE,
        ttl: PATIENCE,
        on_crash: CrashPolicy::Retry,
    };
    assert!(matches!(stage.storage().claim(&claim).await, Ok(Claimed::Acquired { .. })));
    let service = Counting::on(&stage).await;
    assert_eq!(service.client.post("/a", "k", "x").await.text(), "run 1 of x");
}
