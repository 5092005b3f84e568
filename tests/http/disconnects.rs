//! Clients that disconnect, and servers that shut down.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use futures_util::FutureExt;
use idempotency::http::{IdempotencyLayer, anonymous};
use idempotency::testing::Verb;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::timeout;

use crate::client::Client;
use crate::service::{Counting, Gate, serve};
use crate::stage::{Count, PATIENCE, Stage};
use crate::wire::begin;

const POST: &str =
    "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\ncontent-length: 1\r\n\r\nx";

/// The requests that a server has received, and those that it has dropped before their response.
#[derive(Clone, Default)]
struct Requests {
    begun: Count,
    dropped: Count,
}

impl Requests {
    async fn until_begun(&self, count: usize) {
        let begun = || self.begun.load(Ordering::SeqCst) >= count;
        testkit::wait::until_async("requests have begun", PATIENCE, begun).await;
    }

    async fn until_dropped(&self, count: usize) {
        let dropped = || self.dropped.load(Ordering::SeqCst) >= count;
        testkit::wait::until_async("the server has dropped requests", PATIENCE, dropped).await;
    }
}

/// Counts a request when it is dropped, unless it has its response.
struct Unanswered(Option<Count>);

impl Drop for Unanswered {
    fn drop(&mut self) {
        self.0.take().map(|dropped| dropped.fetch_add(1, Ordering::SeqCst));
    }
}

/// Counts the requests that are dropped outside of the layer, as a server does when a client has
/// disconnected.
fn observed(router: Router) -> (Router, Requests) {
    let requests = Requests::default();
    let counted = requests.clone();
    let router = router.layer(from_fn(move |request: Request, next: Next| {
        let Requests { begun, dropped } = counted.clone();
        async move {
            begun.fetch_add(1, Ordering::SeqCst);
            let mut unanswered = Unanswered(Some(dropped));
            let response = next.run(request).await;
            unanswered.0 = None;
            response
        }
    }));
    (router, requests)
}

on_every_storage! {
    work_goes_on_and_is_recorded_when_its_client_goes_away,
    a_client_that_goes_away_while_it_waits_disturbs_nobody,
    shut_down_waits_for_work_without_a_client,
}

async fn work_goes_on_and_is_recorded_when_its_client_goes_away(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let tasks = layer.tasks();
    let (router, requests) = observed(Router::new().route("/a", gate.handler()).layer(layer));
    let addr = serve(router).await;
    let client = begin(addr, POST).await;
    gate.until_begun(1).await;
    drop(client);
    requests.until_dropped(1).await;
    assert_eq!((tasks.len(), gate.ended()), (1, 0));
    gate.open();
    timeout(PATIENCE, tasks.drain()).await.expect("it comes to its end");
    let elsewhere = Counting::on(&stage).await;
    let again = elsewhere.client.post("/a", "k", "x").await;
    assert!(again.is_replayed());
    assert_eq!((again.text(), gate.begun(), elsewhere.runs()), ("run 1", 1, 0));
}

async fn a_client_that_goes_away_while_it_waits_disturbs_nobody(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), anonymous()).wait(PATIENCE);
    let (router, requests) = observed(Router::new().route("/a", gate.handler()).layer(layer));
    let addr = serve(router).await;
    let clients = [begin(addr, POST).await, begin(addr, POST).await, begin(addr, POST).await];
    gate.until_begun(1).await;
    requests.until_begun(3).await;
    drop(clients);
    requests.until_dropped(3).await;
    gate.open();
    let again = Client::new(addr).post("/a", "k", "x").await;
    assert!(again.is_replayed());
    assert_eq!((again.text(), gate.begun()), ("run 1", 1));
}

async fn shut_down_waits_for_work_without_a_client(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let tasks = layer.tasks();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let router = Router::new().route("/a", gate.handler()).layer(layer);
    let (stop, stopped) = oneshot::channel();
    let server = axum::serve(listener, router)
        .with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
    let server = tokio::spawn(server.into_future());
    let client = begin(addr, POST).await;
    gate.until_begun(1).await;
    drop(client);
    stop.send(()).unwrap();
    timeout(PATIENCE, server).await.expect("the server stops").unwrap().unwrap();
    assert!(tasks.drain().now_or_never().is_none(), "there is work left");
    gate.open();
    timeout(PATIENCE, tasks.drain()).await.expect("it comes to its end");
    assert!(tasks.is_empty());
    assert!(Counting::on(&stage).await.client.post("/a", "k", "x").await.is_replayed());
}

/// Over HTTP/2 a client takes a request back and keeps its connection.
#[tokio::test]
async fn work_goes_on_when_its_stream_is_reset() {
    let gate = Gate::default();
    let idem = Stage::on_memory().idem();
    let layer = IdempotencyLayer::new(idem, anonymous()).wait(Duration::ZERO);
    let tasks = layer.tasks();
    let addr = serve(Router::new().route("/a", gate.handler()).layer(layer)).await;
    let client = Client::speaking_http2(addr);
    let request = client.post_meanwhile("/a", "k", "x");
    gate.until_begun(1).await;
    request.abort();
    assert!(request.await.unwrap_err().is_cancelled());
    client.post("/a", "k", "x").await.assert_problem(409, "in-progress");
    assert_eq!((tasks.len(), gate.ended()), (1, 0));
    gate.open();
    timeout(PATIENCE, tasks.drain()).await.expect("it comes to its end");
    assert!(client.post("/a", "k", "x").await.is_replayed());
    assert_eq!(gate.begun(), 1);
}

#[tokio::test]
async fn a_body_that_breaks_off_claims_nothing() {
    let stage = Stage::on_memory();
    let (idem, faults) = stage.process();
    let service = Counting::behind(IdempotencyLayer::new(idem, anonymous())).await;
    let half = "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\ncontent-length: 9\r\n\r\nhalf";
    drop(begin(service.addr, half).await);
    assert_eq!(service.client.post("/a", "k", "whole").await.text(), "run 1 of whole");
    assert_eq!(faults.calls(Verb::Claim), 1);
}
