use idempotency::{Error, idempotent};

#[idempotent(key = KEY)]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
