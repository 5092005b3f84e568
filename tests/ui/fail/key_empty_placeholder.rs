use idempotency::{Error, idempotent};

#[idempotent(key = "order:{}")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
