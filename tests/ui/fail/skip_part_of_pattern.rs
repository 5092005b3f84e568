use idempotency::{Error, idempotent};

#[idempotent(skip(pool))]
async fn place((id, pool): (u64, u64)) -> Result<u64, Error> {
    Ok(id + pool)
}

fn main() {}
