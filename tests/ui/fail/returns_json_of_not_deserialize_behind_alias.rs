use axum::Json;
use idempotency::{Error, idempotent};

#[derive(serde::Serialize)]
struct Receipt(u64);

type Answer = Result<Json<Receipt>, Error>;

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64) -> Answer {
    Ok(Json(Receipt(id)))
}

fn main() {}
