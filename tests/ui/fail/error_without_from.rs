use idempotency::idempotent;

#[derive(Debug)]
struct OrderError;

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Result<u64, OrderError> {
    if id == 0 { Err(OrderError) } else { Ok(id) }
}

fn main() {}
