use idempotency::{Error, idempotent};

#[idempotent(key = 7)]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
