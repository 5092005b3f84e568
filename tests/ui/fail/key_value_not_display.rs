use idempotency::{Error, idempotent};

#[derive(serde::Serialize)]
struct Order {
    id: u64,
}

#[idempotent(key = "order:{order}")]
async fn place(order: Order) -> Result<u64, Error> {
    Ok(order.id)
}

fn main() {}
