use idempotency::{Error, idempotent};

#[idempotent(key = "order:{idd}" ttl = "0s" skip(pool) on_eror = "replay")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
