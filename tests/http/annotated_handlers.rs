//! Handlers that are annotated themselves: what axum extracts is hashed, what axum answers is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::{Extension, Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{Next, from_fn};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use futures_util::future::join_all;
use idempotency::{ErrorKind, Idempotency, idempotent};
use serde::{Deserialize, Serialize};

use crate::client::{Client, Reply};
use crate::service::serve;
use crate::stage::Stage;

on_every_storage! {
    json_is_replayed,
    other_body_is_a_mismatch,
    other_path_is_a_mismatch,
    each_extractor_is_part_of_the_fingerprint,
    concurrent_duplicates_run_once,
    status_is_replayed_with_its_json,
    failed_call_is_not_repeated,
    released_call_runs_again,
    record_is_that_of_the_value_without_its_wrapper,
}

#[derive(Clone)]
struct App {
    idem: Idempotency,
    runs: Arc<AtomicUsize>,
}

#[derive(Deserialize, Serialize)]
struct Pay {
    id: u64,
    cents: u32,
}

#[derive(Deserialize, Serialize)]
struct Receipt {
    id: u64,
    run: usize,
}

/// An error that only knows how to answer.
struct ApiError(StatusCode, &'static str);

impl From<idempotency::Error> for ApiError {
    fn from(error: idempotency::Error) -> Self {
        match error.kind() {
            ErrorKind::Mismatch => Self(StatusCode::UNPROCESSABLE_ENTITY, "another payment"),
            ErrorKind::PreviouslyFailed => Self(StatusCode::BAD_GATEWAY, "failed before"),
            _ => Self(StatusCode::INTERNAL_SERVER_ERROR, "no answer"),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        (self.0, self.1).into_response()
    }
}

impl App {
    fn pay(&self, req: &Pay) -> Result<Receipt, ApiError> {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        match req.cents {
            0 => Err(ApiError(StatusCode::PAYMENT_REQUIRED, "no money")),
            _ => Ok(Receipt { id: req.id, run }),
        }
    }
}

#[idempotent(key = "payment:{req.id}", ttl = "15m", wait = "1m", with = app.idem)]
async fn pay(State(app): State<App>, Json(req): Json<Pay>) -> Result<Json<Receipt>, ApiError> {
    tokio::task::yield_now().await;
    Ok(Json(app.pay(&req)?))
}

#[idempotent(key = "order:{req.id}", with = app.idem)]
async fn order(
    State(app): State<App>,
    Path(shop): Path<String>,
    Json(req): Json<Pay>,
) -> Result<(StatusCode, Json<Receipt>), ApiError> {
    let status = if shop == "later" { StatusCode::ACCEPTED } else { StatusCode::CREATED };
    Ok((status, Json(app.pay(&req)?)))
}

#[idempotent(key = "released:{req.id}", with = app.idem, retry_if = |error| error.0 == StatusCode::PAYMENT_REQUIRED)]
async fn released(State(app): State<App>, Json(req): Json<Pay>) -> Result<Json<Receipt>, ApiError> {
    Ok(Json(app.pay(&req)?))
}

#[derive(Deserialize, Serialize)]
struct Options {
    currency: String,
}

#[idempotent(key = "refund:{req.id}", with = app.idem)]
async fn refund(
    State(app): State<App>,
    Extension(user): Extension<String>,
    Path((line, reason)): Path<(u64, String)>,
    Query(options): Query<Options>,
    Json(req): Json<Pay>,
) -> Result<(StatusCode, Json<Receipt>), ApiError> {
    let _ = (user, line, reason, options.currency);
    Ok((StatusCode::CREATED, Json(app.pay(&req)?)))
}

/// Authentication that believes its client.
async fn authenticate(mut request: Request, next: Next) -> Response {
    let user = request.headers().get("x-user").and_then(|user| user.to_str().ok());
    let user = user.unwrap_or_default().to_owned();
    request.extensions_mut().insert(user);
    next.run(request).await
}

/// A client of the handlers on a handle of their own, and how often a body ran.
async fn served(stage: &Stage) -> (Client, Arc<AtomicUsize>) {
    let app = App { idem: stage.idem(), runs: Arc::default() };
    let runs = Arc::clone(&app.runs);
    let router = Router::new()
        .route("/pay", post(pay))
        .route("/{shop}/order", post(order))
        .route("/released", post(released))
        .route("/refund/{line}/{reason}", post(refund).layer(from_fn(authenticate)));
    (Client::new(serve(router.with_state(app)).await), runs)
}

async fn send(client: &Client, path: &str, id: u64, cents: u32) -> Reply {
    let request = client.request(http::Method::POST, path);
    let request = request.header("content-type", "application/json");
    client.send(request, format!(r#"{{"id":{id},"cents":{cents}}}"#)).await
}

fn count(runs: &AtomicUsize) -> usize {
    runs.load(Ordering::SeqCst)
}

async fn json_is_replayed(stage: Stage) {
    let (client, runs) = served(&stage).await;
    let (elsewhere, others) = served(&stage).await;
    for client in [&client, &client, &elsewhere] {
        let reply = send(client, "/pay", 7, 100).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.header("content-type"), Some("application/json"));
        assert_eq!(reply.text(), r#"{"id":7,"run":1}"#);
    }
    assert_eq!((count(&runs), count(&others)), (1, 0));
}

async fn other_body_is_a_mismatch(stage: Stage) {
    let (client, runs) = served(&stage).await;
    send(&client, "/pay", 7, 100).await;
    let reply = send(&client, "/pay", 7, 200).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::UNPROCESSABLE_ENTITY, "another payment"));
    assert_eq!(count(&runs), 1);
}

async fn other_path_is_a_mismatch(stage: Stage) {
    let (client, runs) = served(&stage).await;
    send(&client, "/books/order", 7, 100).await;
    let reply = send(&client, "/later/order", 7, 100).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::UNPROCESSABLE_ENTITY, "another payment"));
    assert_eq!(count(&runs), 1);
}

async fn each_extractor_is_part_of_the_fingerprint(stage: Stage) {
    let (client, runs) = served(&stage).await;
    let send = async |path: &str, user: &str, cents: u32| {
        let request = client.request(http::Method::POST, path).header("x-user", user);
        let request = request.header("content-type", "application/json");
        let reply = client.send(request, format!(r#"{{"id":7,"cents":{cents}}}"#)).await;
        (reply.status, reply.text().to_owned())
    };
    let receipt = (StatusCode::CREATED, r#"{"id":7,"run":1}"#.to_owned());
    assert_eq!(send("/refund/1/broken?currency=EUR", "ada", 100).await, receipt);
    assert_eq!(send("/refund/1/broken?currency=EUR", "ada", 100).await, receipt);
    for (path, user, cents) in [
        ("/refund/2/broken?currency=EUR", "ada", 100),
        ("/refund/1/late?currency=EUR", "ada", 100),
        ("/refund/1/broken?currency=USD", "ada", 100),
        ("/refund/1/broken?currency=EUR", "bob", 100),
        ("/refund/1/broken?currency=EUR", "ada", 200),
    ] {
        let refused = (StatusCode::UNPROCESSABLE_ENTITY, "another payment".to_owned());
        assert_eq!(send(path, user, cents).await, refused, "{path} {user} {cents}");
    }
    assert_eq!(count(&runs), 1);
}

async fn concurrent_duplicates_run_once(stage: Stage) {
    let (client, runs) = served(&stage).await;
    let (elsewhere, others) = served(&stage).await;
    let replies = (0..16).map(|index| {
        let client = if index % 2 == 0 { &client } else { &elsewhere };
        send(client, "/pay", 7, 100)
    });
    for reply in join_all(replies).await {
        assert_eq!((reply.status, reply.text()), (StatusCode::OK, r#"{"id":7,"run":1}"#));
    }
    assert_eq!(count(&runs) + count(&others), 1);
}

async fn status_is_replayed_with_its_json(stage: Stage) {
    let (client, runs) = served(&stage).await;
    for (path, status) in [("/books/order", 201), ("/later/order", 202)] {
        let id = u64::from(status);
        let first = send(&client, path, id, 100).await;
        let again = send(&client, path, id, 100).await;
        assert_eq!(first.status, status);
        assert_eq!((again.status, again.body), (first.status, first.body));
    }
    assert_eq!(count(&runs), 2);
}

async fn failed_call_is_not_repeated(stage: Stage) {
    let (client, runs) = served(&stage).await;
    let first = send(&client, "/pay", 7, 0).await;
    assert_eq!((first.status, first.text()), (StatusCode::PAYMENT_REQUIRED, "no money"));
    let again = send(&client, "/pay", 7, 0).await;
    assert_eq!((again.status, again.text()), (StatusCode::BAD_GATEWAY, "failed before"));
    assert_eq!(count(&runs), 1);
}

async fn released_call_runs_again(stage: Stage) {
    let (client, runs) = served(&stage).await;
    for _ in 0..2 {
        let reply = send(&client, "/released", 7, 0).await;
        assert_eq!(reply.status, StatusCode::PAYMENT_REQUIRED);
    }
    assert_eq!(count(&runs), 2);
}

/// Taking the extractors off later, or putting them on, keeps the keys and the results.
async fn record_is_that_of_the_value_without_its_wrapper(stage: Stage) {
    mod wrapped {
        use super::{ApiError, App, Json, Pay, Receipt, State, idempotent};

        #[idempotent(name = "settle", instance = "v1", key = "settle:{req.id}", with = app.idem)]
        pub(super) async fn settle(
            State(app): State<App>,
            Json(req): Json<Pay>,
        ) -> Result<Json<Receipt>, ApiError> {
            Ok(Json(app.pay(&req)?))
        }
    }

    #[idempotent(name = "settle", instance = "v1", key = "settle:{req.id}", with = app.idem, skip(app))]
    async fn settle(app: &App, req: Pay) -> Result<Receipt, ApiError> {
        app.pay(&req)
    }

    let app = App { idem: stage.idem(), runs: Arc::default() };
    let wrapped = wrapped::settle(State(app.clone()), Json(Pay { id: 7, cents: 100 })).await;
    let plain = settle(&app, Pay { id: 7, cents: 100 }).await;
    let runs = [wrapped.ok().map(|Json(receipt)| receipt.run), plain.ok().map(|it| it.run)];
    assert_eq!(runs, [Some(1), Some(1)]);
}
