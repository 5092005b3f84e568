use idempotency::{Error, idempotent};

#[idempotent(ttl = "15m", key = "order:{id}", ttl = "20m")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
