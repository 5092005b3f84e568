use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}", ttl = "2 months")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
