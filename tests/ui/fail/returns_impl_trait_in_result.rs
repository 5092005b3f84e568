use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Result<impl std::fmt::Display, Error> {
    Ok(id)
}

fn main() {}
