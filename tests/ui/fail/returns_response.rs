use axum::response::{IntoResponse, Response};
use idempotency::{Error, idempotent};

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64) -> Result<Response, Error> {
    Ok(id.to_string().into_response())
}

fn main() {}
