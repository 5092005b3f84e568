use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}", retry_if = "is_timeout")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
