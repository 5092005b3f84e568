use idempotency::{Error, idempotent};

#[derive(serde::Serialize)]
struct Receipt(u64);

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Result<Receipt, Error> {
    Ok(Receipt(id))
}

fn main() {}
