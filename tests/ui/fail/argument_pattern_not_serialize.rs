use idempotency::{Error, idempotent};

struct Order {
    id: u64,
}

#[idempotent(key = "order:{id}")]
async fn place(Order { id }: Order) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
