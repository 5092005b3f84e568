use idempotency::{Error, idempotent};

#[idempotent(key = "{id}")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
