use axum::Json;
use idempotency::{Error, Outcome, idempotent};

#[derive(serde::Serialize)]
struct Receipt(u64);

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64) -> Result<Outcome<Option<Json<Receipt>>>, Error> {
    Ok(Some(Json(Receipt(id))).into())
}

fn main() {}
