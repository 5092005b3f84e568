use idempotency::{Error, idempotent};

type Placed = Result<Receipt, Error>;

struct Receipt(u64);

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Placed {
    Ok(Receipt(id))
}

fn main() {}
