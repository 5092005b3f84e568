//! The services: one handler, alone and behind the layer.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::routing::post;
use axum::{Json, Router};
use idempotency::Idempotency;
use idempotency::http::{IdempotencyLayer, anonymous};
use tokio::net::TcpListener;

use crate::payload::{Arguments, Receipt, charge_by_handle};

/// The handler alone.
pub(crate) fn bare() -> Router {
    Router::new().route("/charges", post(charge))
}

/// The same handler, once for each key.
pub(crate) fn behind_layer(idem: Idempotency) -> Router {
    bare().layer(IdempotencyLayer::new(idem, anonymous()))
}

/// What one would write without the layer.
pub(super) fn handle_in_handler(idem: Idempotency) -> Router {
    let charge = async |State(idem): State<Idempotency>, Json(arguments): Json<Arguments>| {
        let receipt = charge_by_handle(&idem, &arguments).await;
        receipt.map(Json).map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
    };
    Router::new().route("/charges", post(charge)).with_state(idem)
}

/// A handler that never answers, and how often it has begun.
pub(crate) fn stuck() -> (Router, Arc<AtomicUsize>) {
    let begun = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&begun);
    let charge = async move |_: Json<Arguments>| {
        counted.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<Json<Receipt>>().await
    };
    (Router::new().route("/charges", post(charge)), begun)
}

/// Likewise, behind the layer.
pub(crate) fn stuck_behind_layer(idem: &Idempotency) -> (Router, Arc<AtomicUsize>) {
    let (router, begun) = stuck();
    (router.layer(IdempotencyLayer::new(idem.clone(), anonymous())), begun)
}

/// A request as one that came from a connection.
pub(crate) fn request(number: usize) -> Request {
    let body = serde_json::to_vec(&Arguments::new(number)).unwrap_or_default();
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("/charges");
    let json = HeaderValue::from_static("application/json");
    request.headers_mut().insert("content-type", json);
    request.headers_mut().insert("idempotency-key", HeaderValue::from(number));
    request
}

/// Serves it on loopback for as long as the runtime is there.
pub(super) async fn serve(router: Router) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(axum::serve(listener, router).into_future());
    Ok(addr)
}

async fn charge(Json(arguments): Json<Arguments>) -> Json<Receipt> {
    Json(arguments.receipt())
}
