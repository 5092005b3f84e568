use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}", on_error = "reply")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
