//! An axum handler that takes effect once, and maps every error to an HTTP response.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use idempotency::http::Problem;
use idempotency::{Idempotency, idempotent};
use serde::{Deserialize, Serialize};

use crate::world::World;

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) idem: Idempotency,
    pub(crate) world: World,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Order {
    id: u64,
    cents: i64,
}

#[derive(Deserialize, Serialize)]
pub(crate) struct Receipt {
    order: u64,
    text: String,
}

/// `Serialize` and `Deserialize`, so that a duplicate of a declined payment gets the same error:
/// `on_error = "replay"`.
#[derive(Debug, Deserialize, Serialize, thiserror::Error)]
pub(crate) enum PayError {
    #[error("the card was declined")]
    Declined,
    #[error("the bank does not answer")]
    BankIsDown, // it may have charged nevertheless
    #[error(transparent)]
    #[serde(skip)]
    Idempotency(#[from] idempotency::Error),
}

impl PayError {
    /// The next request asks the bank again. That is right because the bank deduplicates by the
    /// key.
    fn is_retryable(&self) -> bool {
        matches!(self, Self::BankIsDown)
    }
}

impl IntoResponse for PayError {
    fn into_response(self) -> Response {
        match self {
            Self::Declined => StatusCode::PAYMENT_REQUIRED.into_response(),
            Self::BankIsDown => StatusCode::BAD_GATEWAY.into_response(),
            // 409 with `Retry-After` while the first request runs, 422 for a changed order, 503 if
            // the storage is unavailable.
            Self::Idempotency(error) => Problem::from(error).into_response(),
        }
    }
}

#[idempotent(
    name = "pay",
    key = "pay:{order.id}",
    wait = "10s",           // a second request gets the first one's response
    on_cancel = "finish",   // the body finishes if the client hangs up
    on_error = "replay",
    retry_if = PayError::is_retryable,
    with = app.idem,
)]
pub(crate) async fn pay(
    State(app): State<App>,
    Json(order): Json<Order>,
) -> Result<Json<Receipt>, PayError> {
    println!("charging");
    tokio::time::sleep(Duration::from_millis(300)).await; // the bank thinks
    if order.cents > 100_000 {
        return Err(PayError::Declined);
    }
    let key = format!("pay-{}", order.id);
    let charged = app.world.do_once(&key, &format!("charged {} for {}", order.cents, order.id));
    charged.map_err(|_| PayError::BankIsDown)?;
    Ok(Json(Receipt { order: order.id, text: format!("{} cents", order.cents) }))
}
