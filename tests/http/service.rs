//! Servers on loopback, with handlers that count and wait.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::routing::{MethodRouter, any};
use idempotency::http::{IdempotencyLayer, anonymous};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::client::Client;
use crate::stage::{Count, PATIENCE, Stage};

/// Serves `router` on loopback until the test's runtime ends.
pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(axum::serve(listener, router).into_future());
    addr
}

/// A client of a service that has this handler behind the layer, under the path `/a`.
pub(crate) async fn client_of(handler: MethodRouter, layer: IdempotencyLayer) -> Client {
    Client::new(serve(Router::new().route("/a", handler).layer(layer)).await)
}

/// One that answers with the number of its run and what it was sent, under every path and method.
pub(crate) fn counting(runs: &Count) -> MethodRouter {
    let runs = Arc::clone(runs);
    any(async move |body: String| {
        let run = runs.fetch_add(1, Ordering::SeqCst) + 1;
        format!("run {run} of {body}")
    })
}

/// The counting handler under every path, behind a layer.
pub(crate) struct Counting {
    pub(crate) client: Client,
    pub(crate) addr: SocketAddr,
    runs: Count,
}

impl Counting {
    pub(crate) async fn on(stage: &Stage) -> Self {
        Self::with(stage, |layer| layer).await
    }

    pub(crate) async fn with(
        stage: &Stage,
        settings: impl FnOnce(IdempotencyLayer) -> IdempotencyLayer,
    ) -> Self {
        Self::behind(settings(IdempotencyLayer::new(stage.idem(), anonymous()))).await
    }

    pub(crate) async fn behind(layer: IdempotencyLayer) -> Self {
        let runs = Count::default();
        let router = Router::new().route("/{*path}", counting(&runs)).layer(layer);
        let addr = serve(router).await;
        Self { client: Client::new(addr), addr, runs }
    }

    pub(crate) fn runs(&self) -> usize {
        self.runs.load(Ordering::SeqCst)
    }
}

/// A handler that says when it has begun, and ends when it is told to.
#[derive(Clone, Default)]
pub(crate) struct Gate {
    begun: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    permits: Arc<Inner>,
}

struct Inner(Semaphore);

impl Default for Inner {
    fn default() -> Self {
        Self(Semaphore::new(0))
    }
}

impl Gate {
    pub(crate) fn handler(&self) -> MethodRouter {
        let gate = self.clone();
        any(async move || {
            let run = gate.begun.fetch_add(1, Ordering::SeqCst) + 1;
            gate.permits.0.acquire().await.unwrap().forget();
            gate.ended.fetch_add(1, Ordering::SeqCst);
            format!("run {run}")
        })
    }

    pub(crate) async fn until_begun(&self, runs: usize) {
        let begun = || self.begun.load(Ordering::SeqCst) >= runs;
        testkit::wait::until_async("the handler has begun", PATIENCE, begun).await;
    }

    /// Lets one run end.
    pub(crate) fn open(&self) {
        self.permits.0.add_permits(1);
    }

    pub(crate) fn begun(&self) -> usize {
        self.begun.load(Ordering::SeqCst)
    }

    pub(crate) fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

/// Waits for a task of the test's own.
pub(crate) async fn joined<T>(task: tokio::task::JoinHandle<T>) -> T {
    timeout(PATIENCE, task).await.expect("the task ends").unwrap()
}
