use axum::Json;
use axum::http::StatusCode;
use idempotency::{Error, idempotent};

#[derive(serde::Serialize)]
struct Receipt(u64);

#[idempotent(key = "payment:{id}", store_if = |(status, _)| status.is_success())]
async fn pay(id: u64) -> Result<(StatusCode, Json<Receipt>), Error> {
    Ok((StatusCode::CREATED, Json(Receipt(id))))
}

fn main() {}
