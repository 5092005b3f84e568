use axum::Json;
use idempotency::{Error, idempotent};

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64) -> Result<Vec<Json<u64>>, Error> {
    Ok(vec![Json(id)])
}

fn main() {}
