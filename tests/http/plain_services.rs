//! Services of tower and hyper without axum.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use idempotency::http::{Body, IdempotencyLayer, Profile, anonymous};
use tokio::net::TcpListener;
use tower_layer::Layer;
use tower_service::Service;

use crate::client::Client;
use crate::service::{counting, serve};
use crate::stage::{Count, Stage};

/// It answers once for each time that it was polled ready, and a clone of it has not been.
#[derive(Default)]
struct OnceReady {
    is_ready: bool,
    called: Count,
}

impl Clone for OnceReady {
    fn clone(&self) -> Self {
        Self { is_ready: false, called: Arc::clone(&self.called) }
    }
}

impl<B> Service<Request<B>> for OnceReady {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.is_ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        assert!(self.is_ready, "it was not polled ready");
        self.is_ready = false;
        let run = self.called.fetch_add(1, Ordering::SeqCst) + 1;
        ready(Ok(Response::new(Full::from(format!("run {run}")))))
    }
}

fn post(key: Option<&str>) -> Request<Full<Bytes>> {
    let mut request = Request::post("/a");
    if let Some(key) = key {
        request = request.header("idempotency-key", key);
    }
    request.body(Full::from("x")).unwrap()
}

#[tokio::test]
async fn the_service_that_was_polled_ready_is_the_one_that_is_called() {
    let inner = OnceReady::default();
    let called = Arc::clone(&inner.called);
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let mut service = layer.profile(Profile::stripe()).layer(inner);
    for (key, calls) in
        [(Some("k1"), 1), (Some("k1"), 1), (None, 2), (Some(" "), 2), (Some("k2"), 3)]
    {
        std::future::poll_fn(|context| {
            Service::<Request<Full<Bytes>>>::poll_ready(&mut service, context)
        })
        .await
        .unwrap();
        let response = service.call(post(key)).await.unwrap();
        assert_ne!(response.status(), 500, "{key:?}");
        assert_eq!(called.load(Ordering::SeqCst), calls, "{key:?}");
    }
}

/// Fails the first time.
#[derive(Clone, Default)]
struct Failing(Count);

impl<B> Service<Request<B>> for Failing {
    type Response = Response<Full<Bytes>>;
    type Error = &'static str;
    type Future = Ready<Result<Self::Response, &'static str>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<B>) -> Self::Future {
        let is_first = self.0.fetch_add(1, Ordering::SeqCst) == 0;
        ready(if is_first { Err("no backend") } else { Ok(Response::new(Full::from("done"))) })
    }
}

#[tokio::test]
async fn a_services_own_error_reaches_its_caller_and_frees_the_key() {
    let stage = Stage::on_memory();
    let mut service = IdempotencyLayer::new(stage.idem(), anonymous()).layer(Failing::default());
    assert_eq!(service.call(post(Some("k"))).await.unwrap_err(), "no backend");
    for replayed in [false, true] {
        let response = service.call(post(Some("k"))).await.unwrap();
        assert_eq!(response.headers().contains_key("idempotent-replayed"), replayed);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "done");
    }
}

/// Answers with what it was sent, as hyper alone does it.
#[derive(Clone, Default)]
struct Echo(Arc<AtomicUsize>);

impl Service<Request<Body<Incoming>>> for Echo {
    type Response = Response<Full<Bytes>>;
    type Error = hyper::Error;
    type Future = BoxFuture<'static, Result<Self::Response, hyper::Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body<Incoming>>) -> Self::Future {
        let run = self.0.fetch_add(1, Ordering::SeqCst) + 1;
        Box::pin(async move {
            let body = request.into_body().collect().await?.to_bytes();
            let mut answer = format!("run {run} of ").into_bytes();
            answer.extend_from_slice(&body);
            Ok(Response::new(Full::from(answer)))
        })
    }
}

async fn serve_with_hyper(layer: IdempotencyLayer) -> SocketAddr {
    let service = TowerToHyperService::new(layer.layer(Echo::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service.clone());
            tokio::spawn(connection);
        }
    });
    addr
}

#[tokio::test]
async fn hyper_alone_is_enough() {
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let client = Client::new(serve_with_hyper(layer).await);
    assert_eq!(client.post("/a", "k", "x").await.text(), "run 1 of x");
    let again = client.post("/a", "k", "x").await;
    assert!(again.is_replayed());
    assert_eq!(again.text(), "run 1 of x");
    client.post("/b", "k", "x").await.assert_problem(422, "key-reused");
    client.send(client.request(Method::POST, "/a"), "x").await.assert_problem(400, "key-missing");
}

/// As happens where routers are merged that have it already.
#[tokio::test]
async fn two_layers_are_as_good_as_one() {
    let idem = Stage::on_memory().idem();
    let runs = Count::default();
    let layer = IdempotencyLayer::new(idem, anonymous());
    let router = Router::new().route("/a", counting(&runs)).layer(layer.clone()).layer(layer);
    let client = Client::new(serve(router).await);
    assert_eq!(client.post("/a", "k", "x").await.text(), "run 1 of x");
    assert!(client.post("/a", "k", "x").await.is_replayed());
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}
