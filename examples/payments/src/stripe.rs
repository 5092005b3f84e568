//! As much of Stripe's API as its official clients need to charge a card.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Form, Json};
use idempotency::http::{IdempotencyKey, IdempotencyLayer, Profile};
use serde::Deserialize;
use serde_json::json;

use crate::api::NewPayment;
use crate::auth::Account;
use crate::bank::{Amount, Bank, Currency};
use crate::refusal::Refusal;

/// Stripe's rules; and a request whose first attempt is still being handled waits for it.
pub(crate) fn rules(layer: IdempotencyLayer) -> IdempotencyLayer {
    layer.profile(Profile::stripe()).wait(Duration::from_secs(20))
}

#[derive(Deserialize)]
pub(crate) struct NewCharge {
    amount: Amount,
    currency: Currency,
    source: String,
}

/// Without a key it charges as often as it is called, as Stripe does.
pub(crate) async fn charge(
    State(bank): State<Arc<Bank>>,
    Extension(account): Extension<Account>,
    key: Option<IdempotencyKey>,
    charge: Result<Form<NewCharge>, FormRejection>,
) -> Result<Response, Refusal> {
    let Form(NewCharge { amount, currency, source }) = charge?;
    let payment = NewPayment { amount, currency, card: source };
    let reference = key.as_ref().map(IdempotencyKey::as_str).unwrap_or_default();
    let charged = bank.charge(&account, reference, &payment).await?;
    let charge = json!({
        "id": charged.id.replace("pay_", "ch_"),
        "object": "charge",
        "amount": amount,
        "currency": currency,
        "paid": true,
        "status": "succeeded",
    });
    Ok(Json(charge).into_response())
}
