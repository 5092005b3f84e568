use idempotency::{Error, idempotent};

#[idempotent(skip(pool, pool))]
async fn place(id: u64, pool: u64) -> Result<u64, Error> {
    Ok(id + pool)
}

fn main() {}
