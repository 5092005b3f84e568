use axum::Json;
use idempotency::{Error, idempotent};

#[derive(serde::Serialize)]
struct Receipt(u64);

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64) -> Result<Json<Receipt>, Error> {
    Ok(Json(Receipt(id)))
}

fn main() {}
