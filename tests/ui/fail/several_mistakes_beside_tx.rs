use idempotency::{Error, idempotent};

#[idempotent(tx = pool, lease = "30s", on_crash = "park", on_cancel = "finish", name = "")]
async fn place(pool: u64) -> Result<u64, Error> {
    Ok(pool)
}

#[idempotent(tx = tx, lease = "2h", ttl = "1h", on_crash = "retry")]
async fn change(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
