//! The API: what it offers under which path, and where the layer is.

use std::sync::Arc;

use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::{Method, StatusCode};
use axum::middleware::from_fn;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Json, Router};
use idempotency::http::{IdempotencyKey, IdempotencyLayer};
use serde::Deserialize;

use crate::auth::{Account, authenticate};
use crate::bank::{Amount, Bank, Currency};
use crate::refusal::Refusal;
use crate::stripe;

/// From the outside: authentication, so that a replay is authorised like the first request; then the layer, which knows whose a key is; then the
/// handlers.
pub(crate) fn router(bank: Arc<Bank>, layer: IdempotencyLayer) -> Router {
    // What a path does not offer is a 405, whatever its key.
    let layer = layer.methods([Method::POST]);
    let payments = Router::new().route("/payments", post(pay).get(payments)).layer(layer.clone());
    let charges =
        Router::new().route("/v1/charges", post(stripe::charge)).layer(stripe::rules(layer));
    Router::new()
        .merge(payments)
        .merge(charges)
        .route("/payments/{id}", get(payment))
        .layer(from_fn(authenticate))
        .route("/openapi.yaml", get(openapi))
        .with_state(bank)
}

/// What a client asks for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewPayment {
    pub(crate) amount: Amount,
    pub(crate) currency: Currency,
    pub(crate) card: String,
}

/// A key is required here, so every request that arrives has one.
async fn pay(
    State(bank): State<Arc<Bank>>,
    Extension(account): Extension<Account>,
    key: IdempotencyKey,
    payment: Result<Json<NewPayment>, JsonRejection>,
) -> Result<Response, Refusal> {
    let Json(payment) = payment?;
    let payment = bank.charge(&account, key.as_str(), &payment).await?;
    let location = [("location", format!("/payments/{}", payment.id))];
    Ok((StatusCode::CREATED, location, Json(payment)).into_response())
}

async fn payments(
    State(bank): State<Arc<Bank>>,
    Extension(account): Extension<Account>,
) -> Response {
    Json(bank.of_account(&account)).into_response()
}

async fn payment(
    State(bank): State<Arc<Bank>>,
    Extension(account): Extension<Account>,
    Path(id): Path<String>,
) -> Result<Response, Refusal> {
    let mine = bank.of_account(&account).into_iter().find(|payment| payment.id == id);
    mine.map(|payment| Json(payment).into_response()).ok_or(Refusal::NotFound)
}

async fn openapi() -> Response {
    ([("content-type", "application/yaml")], include_str!("../openapi.yaml")).into_response()
}
