use axum::http::HeaderMap;
use idempotency::{Error, idempotent};

#[idempotent(key = "payment:{id}")]
async fn pay(headers: HeaderMap, id: u64) -> Result<u64, Error> {
    Ok(headers.len() as u64 + id)
}

fn main() {}
