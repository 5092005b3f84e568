use idempotency::{Error, idempotent};

#[idempotent(key = "order:{_}")]
async fn place(_: u64) -> Result<u64, Error> {
    Ok(1)
}

fn main() {}
