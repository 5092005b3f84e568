use idempotency::{Error, idempotent};

#[idempotent(
    key = "order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-order-{id}"
)]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
