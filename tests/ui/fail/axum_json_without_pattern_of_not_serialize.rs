use axum::Json;
use idempotency::{Error, idempotent};

#[derive(serde::Deserialize)]
struct Pay {
    id: u64,
}

#[idempotent(key = "payment:{req.id}")]
async fn pay(req: Json<Pay>) -> Result<u64, Error> {
    Ok(req.id)
}

fn main() {}
