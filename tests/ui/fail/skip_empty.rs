use idempotency::{Error, idempotent};

#[idempotent(skip())]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
