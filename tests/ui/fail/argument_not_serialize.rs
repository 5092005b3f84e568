use idempotency::{Error, idempotent};

struct Pool;

#[idempotent(key = "order:{id}")]
async fn place(id: u64, pool: &Pool) -> Result<u64, Error> {
    let _ = pool;
    Ok(id)
}

fn main() {}
