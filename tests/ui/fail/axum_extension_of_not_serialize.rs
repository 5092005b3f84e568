use axum::Extension;
use idempotency::{Error, idempotent};

#[derive(Clone)]
struct User {
    id: u64,
}

#[idempotent(key = "payment:{id}")]
async fn pay(Extension(user): Extension<User>, id: u64) -> Result<u64, Error> {
    Ok(user.id + id)
}

fn main() {}
