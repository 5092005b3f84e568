//! The client's side, on a network that loses packets and against a service that does not always
//! answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::response::IntoResponse;
use axum::routing::any;
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as HyperClient, Error};
use hyper_util::rt::TokioExecutor;
use idempotency::http::client::{RetryLayer, RetryService};
use idempotency::http::{IdempotencyLayer, anonymous};
use parking_lot::Mutex;
use testkit::proxy::{FaultProxy, Loss};
use tokio::time::timeout;
use tower_layer::Layer;
use tower_service::Service;

use crate::service::{Gate, counting, serve};
use crate::stage::{Count, PATIENCE, Stage};
use crate::wire::begin;

type Hyper = HyperClient<HttpConnector, Full<Bytes>>;
type Retrying = RetryService<Attempts>;

/// Counts the requests that have ended, in an answer or an error.
#[derive(Clone)]
struct Attempts {
    hyper: Hyper,
    ended: Count,
}

impl Service<Request<Full<Bytes>>> for Attempts {
    type Response = Response<Incoming>;
    type Error = Error;
    type Future = BoxFuture<'static, Result<Response<Incoming>, Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Service::poll_ready(&mut self.hyper, context)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        let (answer, ended) = (Service::call(&mut self.hyper, request), Arc::clone(&self.ended));
        answer.inspect(move |_| _ = ended.fetch_add(1, Ordering::SeqCst)).boxed()
    }
}

fn client() -> Retrying {
    retrying(&RetryLayer::new())
}

fn retrying(layer: &RetryLayer) -> Retrying {
    counted(layer).0
}

/// A client, and how many of its attempts have ended.
fn counted(layer: &RetryLayer) -> (Retrying, Count) {
    let ended = Count::default();
    let hyper = HyperClient::builder(TokioExecutor::new()).build_http();
    (layer.layer(Attempts { hyper, ended: Arc::clone(&ended) }), ended)
}

async fn until_an_attempt_has_ended(ended: &Count) {
    let has_ended = || ended.load(Ordering::SeqCst) > 0;
    testkit::wait::until_async("an attempt has ended", PATIENCE, has_ended).await;
}

fn request(method: Method, to: impl std::fmt::Display) -> Request<Full<Bytes>> {
    let uri = format!("http://{to}/a");
    Request::builder().method(method).uri(uri).body(Full::new(Bytes::from_static(b"x"))).unwrap()
}

async fn send(
    client: &mut Retrying,
    request: Request<Full<Bytes>>,
) -> (StatusCode, HeaderMap, String) {
    let (head, body) = timeout(PATIENCE, client.call(request)).await.unwrap().unwrap().into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (head.status, head.headers, String::from_utf8(body.to_vec()).unwrap())
}

/// A handler that says how it goes, and keeps the keys that it has seen.
fn answers(
    seen: &'static Mutex<Vec<String>>,
    answer: impl Fn(usize) -> Response<axum::body::Body> + Clone + Send + Sync + 'static,
) -> Router {
    let handler = any(async move |headers: HeaderMap| {
        let key = headers.get("idempotency-key").map_or("none", |key| key.to_str().unwrap());
        let mut seen = seen.lock();
        seen.push(key.to_owned());
        answer(seen.len())
    });
    Router::new().route("/a", handler)
}

fn keys() -> &'static Mutex<Vec<String>> {
    Box::leak(Box::default())
}

#[tokio::test]
async fn lost_requests_and_lost_replies_are_one_run() {
    let runs = Count::default();
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let addr = serve(Router::new().route("/a", counting(&runs)).layer(layer)).await;
    let proxy = FaultProxy::start(addr);
    proxy.drop_requests(Loss::next(1));
    proxy.drop_replies(Loss::next(2));
    let (status, headers, text) = send(&mut client(), request(Method::POST, proxy.addr())).await;
    assert_eq!((status.as_u16(), text.as_str()), (200, "run 1 of x"));
    assert_eq!(headers["idempotent-replayed"], "true");
    assert_eq!(runs.load(Ordering::SeqCst), 1);
    assert_eq!(proxy.counts().dropped_replies, 2);
}

#[tokio::test]
async fn the_key_is_a_uuid_and_the_same_for_all_attempts() {
    let keys = keys();
    let addr = serve(answers(keys, |attempt| match attempt {
        1 => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        2 => StatusCode::SERVICE_UNAVAILABLE.into_response(),
        _ => "done".into_response(),
    }))
    .await;
    let mut client = client();
    assert_eq!(send(&mut client, request(Method::POST, addr)).await.0, 200);
    assert_eq!(send(&mut client, request(Method::PATCH, addr)).await.0, 200);
    let keys = keys.lock();
    assert_eq!(keys.len(), 4);
    assert!(keys[0] == keys[1] && keys[1] == keys[2]);
    assert_ne!(keys[2], keys[3], "another request has another key");
    assert!(keys.iter().all(|key| key.len() == 38 && key.starts_with('"') && key.ends_with('"')));
}

#[tokio::test]
async fn a_key_of_the_callers_own_stays() {
    let keys = keys();
    let busy_once = |attempt| {
        if attempt == 1 { StatusCode::BAD_GATEWAY } else { StatusCode::OK }.into_response()
    };
    let addr = serve(answers(keys, busy_once)).await;
    let mut request = request(Method::PUT, addr);
    request.headers_mut().insert("idempotency-key", "mine".parse().unwrap());
    send(&mut client(), request).await;
    assert_eq!(*keys.lock(), ["mine", "mine"]);
}

#[tokio::test]
async fn other_methods_pass_through() {
    let keys = keys();
    let addr = serve(answers(keys, |_| StatusCode::BAD_GATEWAY.into_response())).await;
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        assert_eq!(send(&mut client(), request(method, addr)).await.0, 502);
    }
    assert_eq!(*keys.lock(), ["none"; 3]);
}

#[tokio::test]
async fn what_would_stay_the_same_is_not_asked_for_again() {
    for (status, name, value) in [
        (400, "x-other", "1"),
        (402, "x-other", "1"),
        (404, "x-other", "1"),
        (422, "x-other", "1"),
        (409, "x-other", "1"),
        (500, "idempotent-replayed", "true"),
        (303, "location", "/b"),
    ] {
        let keys = keys();
        let status = StatusCode::from_u16(status).unwrap();
        let addr = serve(answers(keys, move |_| (status, [(name, value)]).into_response())).await;
        assert_eq!(send(&mut client(), request(Method::POST, addr)).await.0, status);
        assert_eq!(keys.lock().len(), 1, "{status}");
    }
}

#[tokio::test]
async fn an_end_is_put_to_it() {
    let keys = keys();
    let addr = serve(answers(keys, |_| StatusCode::BAD_GATEWAY.into_response())).await;
    let mut twice = retrying(&RetryLayer::new().attempts(2));
    assert_eq!(send(&mut twice, request(Method::POST, addr)).await.0, 502);
    assert_eq!(keys.lock().len(), 2);
    let later = |_| (StatusCode::CONFLICT, [("retry-after", "3600")]).into_response();
    let addr = serve(answers(keys, later)).await;
    let patience = Duration::from_secs(3599);
    let mut impatient = retrying(&RetryLayer::new().patience(patience));
    assert_eq!(send(&mut impatient, request(Method::POST, addr)).await.0, 409);
    assert_eq!(keys.lock().len(), 3);
}

/// A server can say anything, and a caller may have all the time there is.
#[tokio::test]
async fn a_pause_without_end_is_no_panic() {
    let keys = keys();
    let never = |_| (StatusCode::CONFLICT, [("retry-after", u64::MAX.to_string())]).into_response();
    let addr = serve(answers(keys, never)).await;
    assert_eq!(send(&mut client(), request(Method::POST, addr)).await.0, 409);
    let addr = serve(answers(keys, |attempt| match attempt {
        2 => (StatusCode::CONFLICT, [("retry-after", "Fri, 31 Dec 1999 23:59:59 GMT")])
            .into_response(),
        _ => "done".into_response(),
    }))
    .await;
    let mut patient = retrying(&RetryLayer::new().patience(Duration::MAX));
    assert_eq!(send(&mut patient, request(Method::POST, addr)).await.0, 200);
    assert_eq!(keys.lock().len(), 3);
}

#[tokio::test]
async fn a_service_that_comes_back_gets_the_request_once() {
    let runs = Count::default();
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let addr = serve(Router::new().route("/a", counting(&runs)).layer(layer)).await;
    let proxy = FaultProxy::start(addr);
    proxy.refuse();
    let to = proxy.addr();
    let (mut client, ended) = counted(&RetryLayer::new());
    let request = tokio::spawn(async move { send(&mut client, request(Method::POST, to)).await });
    until_an_attempt_has_ended(&ended).await;
    proxy.accept();
    let (status, _, text) = request.await.unwrap();
    assert_eq!((status.as_u16(), text.as_str()), (200, "run 1 of x"));
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn nobody_there_is_an_error_in_the_end() {
    let nobody = FaultProxy::start("127.0.0.1:9");
    nobody.refuse();
    let mut twice = retrying(&RetryLayer::new().attempts(2));
    let outcome = timeout(PATIENCE, twice.call(request(Method::POST, nobody.addr()))).await;
    assert!(outcome.unwrap().unwrap_err().is_connect());
}

/// The second client retries as `Retry-After` says, and gets the response of the first.
#[tokio::test]
async fn a_request_that_is_being_handled_is_waited_for() {
    let gate = Gate::default();
    let lease = Duration::from_secs(1);
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous()).lease(lease);
    let router = Router::new().route("/a", gate.handler()).layer(layer);
    let addr = serve(router).await;
    let first = "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\ncontent-length: 1\r\n\r\nx";
    let _first = begin(addr, first).await;
    gate.until_begun(1).await;
    let (mut client, ended) = counted(&RetryLayer::new());
    let second = tokio::spawn(async move {
        let mut request = request(Method::POST, addr);
        request.headers_mut().insert("idempotency-key", "k".parse().unwrap());
        send(&mut client, request).await
    });
    until_an_attempt_has_ended(&ended).await;
    gate.open();
    let (status, headers, text) = second.await.unwrap();
    assert_eq!((status.as_u16(), text.as_str(), gate.begun()), (200, "run 1", 1));
    assert_eq!(headers["idempotent-replayed"], "true");
}
