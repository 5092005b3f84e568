//! Handlers of axum as they stand: extractors are hashed by what they hold, `State` is not hashed, `Json` is stored by what it holds.
#![deny(warnings, clippy::pedantic, unused_qualifications)]

use std::sync::Arc;

use axum::extract::{Extension, Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router, debug_handler};
use idem_ui::{Runs, on_memory};
use idempotency::{Error, ErrorKind, Outcome, idempotent};
use serde::{Deserialize, Serialize};

static RUNS: Runs = Runs::new();

#[derive(Clone)]
struct App {
    prefix: Arc<str>,
}

#[derive(Clone, Serialize, Deserialize)]
struct Pay {
    id: u64,
    cents: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Receipt(String);

#[derive(Debug)]
struct ApiError(ErrorKind);

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        Self(error.kind())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        StatusCode::CONFLICT.into_response()
    }
}

fn receipt(app: &App, id: u64) -> Receipt {
    Receipt(format!("{}-{id}-{}", app.prefix, RUNS.next()))
}

#[idempotent(key = "payment:{req.id}", ttl = "15m")]
async fn pay(State(app): State<App>, Json(req): Json<Pay>) -> Result<Json<Receipt>, ApiError> {
    Ok(Json(receipt(&app, req.id)))
}

#[debug_handler]
#[idempotent(key = "skips:{req.id}", skip(app))]
async fn skips(State(app): State<App>, Json(req): Json<Pay>) -> Result<Json<Receipt>, ApiError> {
    Ok(Json(receipt(&app, req.id)))
}

#[idempotent(key = "below:{req.id}")]
#[debug_handler]
async fn below(State(app): State<App>, Json(req): Json<Pay>) -> Result<Json<Receipt>, ApiError> {
    Ok(Json(receipt(&app, req.id)))
}

#[debug_handler]
#[idempotent(key = "created:{id}")]
async fn created(
    State(app): State<App>,
    Path((id, _)): Path<(u64, String)>,
    Query(query): Query<Vec<(String, String)>>,
    Json(mut req): Json<Pay>,
) -> Result<(StatusCode, Json<Receipt>), ApiError> {
    req.id += id + query.len() as u64;
    Ok((StatusCode::CREATED, Json(receipt(&app, req.id))))
}

#[idempotent(key = "headers:{req.id}", skip(headers), on_cancel = "finish")]
async fn with_headers(
    app: State<App>,
    headers: HeaderMap,
    req: Json<Pay>,
) -> Result<(StatusCode, HeaderMap, Json<Receipt>), ApiError> {
    Ok((StatusCode::ACCEPTED, headers, Json(receipt(&app, req.id))))
}

#[idempotent(key = "user:{req.id}")]
async fn of_user(
    Extension(user): Extension<String>,
    app: State<App>,
    Json(req): Json<Pay>,
) -> Result<Json<Receipt>, ApiError> {
    let _ = user;
    Ok(Json(receipt(&app, req.id)))
}

#[idempotent(key = "optional:{req.id}", store_if = |receipt| receipt.is_some())]
async fn optional(State(app): State<App>, Json(req): Json<Pay>) -> Result<Option<Json<Receipt>>, ApiError> {
    Ok((req.cents > 0).then(|| Json(receipt(&app, req.id))))
}

#[idempotent(key = "source:{req.id}", store_if = |receipt| !receipt.0.is_empty())]
async fn source(State(app): State<App>, Json(req): Json<Pay>) -> Result<Outcome<Json<Receipt>>, ApiError> {
    Ok(Json(receipt(&app, req.id)).into())
}

#[idempotent(key = "source-status:{req.id}", store_if = |(status, receipt)| status.is_success() && !receipt.0.is_empty())]
async fn source_status(
    State(app): State<App>,
    Json(req): Json<Pay>,
) -> Result<Outcome<(StatusCode, Json<Receipt>)>, ApiError> {
    Ok((StatusCode::CREATED, Json(receipt(&app, req.id))).into())
}

type Answer<T> = Result<Json<T>, ApiError>;
type Created<T> = (StatusCode, Json<T>);
type Told = Outcome<Json<Receipt>>;

#[idempotent(key = "alias-result:{req.id}", store_if = |receipt| !receipt.0.is_empty())]
async fn alias_of_the_result(State(app): State<App>, Json(req): Json<Pay>) -> Answer<Receipt> {
    Ok(Json(receipt(&app, req.id)))
}

#[idempotent(key = "alias-tuple:{req.id}")]
async fn alias_of_the_tuple(State(app): State<App>, Json(req): Json<Pay>) -> Result<Created<Receipt>, ApiError> {
    Ok((StatusCode::CREATED, Json(receipt(&app, req.id))))
}

#[idempotent(key = "alias-outcome:{req.id}")]
async fn alias_of_the_outcome(State(app): State<App>, Json(req): Json<Pay>) -> Result<Told, ApiError> {
    Ok(Json(receipt(&app, req.id)).into())
}

#[idempotent(key = "status:{req.id}")]
async fn status_alone(Json(req): Json<Pay>) -> Result<StatusCode, ApiError> {
    let _ = (req, RUNS.next());
    Ok(StatusCode::NO_CONTENT)
}

#[idempotent(key = "status-text:{req.id}")]
async fn status_and_text(Json(req): Json<Pay>) -> Result<(StatusCode, String), ApiError> {
    Ok((StatusCode::CREATED, format!("{}-{}", req.id, RUNS.next())))
}

async fn unwrapped_later(req: Pay) -> Result<Receipt, ApiError> {
    #[idempotent(name = "later", key = "later:{req.id}")]
    async fn later(req: Pay) -> Result<Receipt, ApiError> {
        Ok(Receipt(format!("{}-{}", req.id, RUNS.next())))
    }
    later(req).await
}

async fn wrapped_before(req: Pay) -> Result<Json<Receipt>, ApiError> {
    #[idempotent(name = "later", key = "later:{req.id}", instance = "self::unwrapped_later")]
    async fn later(Json(req): Json<Pay>) -> Result<Json<Receipt>, ApiError> {
        Ok(Json(Receipt(format!("{}-{}", req.id, RUNS.next()))))
    }
    later(Json(req)).await
}

#[idempotent(key = "generic:{id}")]
async fn generic<T>(Path(id): Path<u64>, Json(value): Json<T>) -> Result<Json<T>, ApiError>
where
    T: Serialize + serde::de::DeserializeOwned + Send,
{
    let _ = (id, RUNS.next());
    Ok(Json(value))
}

struct Shop {
    app: App,
}

impl Shop {
    #[idempotent(key = "method:{req.id}")]
    async fn method(&self, Json(req): Json<Pay>) -> Result<Json<Receipt>, ApiError> {
        Ok(Json(receipt(&self.app, req.id)))
    }
}

/// Both calls give the same, and the body runs once.
macro_rules! once {
    ($call:expr, $shown:expr) => {{
        let before = RUNS.count();
        let first = $call.await.unwrap();
        assert_eq!(RUNS.count(), before + 1);
        let again = $call.await.unwrap();
        assert_eq!(RUNS.count(), before + 1);
        let show = $shown;
        assert_eq!(show(first), show(again));
    }};
}

fn main() {
    let app = || State(App { prefix: "eu".into() });
    let req = || Json(Pay { id: 7, cents: 100 });
    let other = || Json(Pay { id: 7, cents: 200 });
    let headers = || -> HeaderMap {
        let texts: [(_, &[u8]); 4] =
            [("x-shop", b"eu"), ("x-note", b"one"), ("x-note", b"two"), ("x-latin", b"caf\xe9")];
        let pair = |(name, value): (&str, _)| (name.parse().unwrap(), HeaderValue::from_bytes(value).unwrap());
        texts.map(pair).into_iter().collect()
    };
    on_memory(async {
        once!(pay(app(), req()), |Json(it)| it);
        assert_eq!(pay(app(), other()).await.unwrap_err().0, ErrorKind::Mismatch);
        let another_state = State(App { prefix: "us".into() });
        assert_eq!(pay(another_state, req()).await.unwrap().0, Receipt("eu-7-1".to_owned()));
    });
    on_memory(async {
        once!(skips(app(), req()), |Json(it)| it);
        once!(below(app(), req()), |Json(it)| it);
        let path = |note: &str| Path((7, note.to_owned()));
        once!(created(app(), path("a"), Query(vec![]), req()), |(status, Json(it))| (status, it));
        let another_note = created(app(), path("b"), Query(vec![]), req()).await;
        assert_eq!(another_note.unwrap_err().0, ErrorKind::Mismatch);
        once!(with_headers(app(), headers(), req()), |(status, headers, Json(it))| (status, headers, it));
        let other_req = with_headers(app(), headers(), other()).await;
        assert_eq!(other_req.unwrap_err().0, ErrorKind::Mismatch);
        once!(of_user(Extension("ada".into()), app(), req()), |Json(it)| it);
        let other_user = of_user(Extension("bob".into()), app(), req()).await;
        assert_eq!(other_user.unwrap_err().0, ErrorKind::Mismatch);
        once!(optional(app(), req()), |it: Option<Json<_>>| it.map(|Json(it)| it));
        let told = |it: Outcome<Json<Receipt>>| it.into_value().0;
        once!(source(app(), req()), told);
        assert!(source(app(), req()).await.unwrap().is_replayed());
        once!(source_status(app(), req()), |it: Outcome<_>| { let (status, Json(it)) = it.into_value(); (status, it) });
        once!(alias_of_the_result(app(), req()), |Json(it)| it);
        once!(alias_of_the_tuple(app(), req()), |(status, Json(it))| (status, it));
        once!(alias_of_the_outcome(app(), req()), told);
        once!(status_alone(req()), |it| it);
        once!(status_and_text(req()), |it| it);
        once!(generic(Path(7), Json("text".to_owned())), |Json(it)| it);
        let shop = Shop { app: app().0 };
        once!(shop.method(req()), |Json(it)| it);
        let Json(before) = wrapped_before(req().0).await.unwrap();
        assert_eq!(unwrapped_later(req().0).await.unwrap(), before);
    });
    let _: Router<App> = Router::new()
        .route("/pay", post(pay))
        .route("/skips", post(skips))
        .route("/below", post(below))
        .route("/created/{id}/{note}", post(created))
        .route("/status", post(status_alone))
        .route("/alias", post(alias_of_the_result));
}
