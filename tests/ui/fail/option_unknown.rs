use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}", tll = "15m")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
