use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}")]
async fn place() -> Result<u64, Error> {
    Ok(1)
}

fn main() {}
