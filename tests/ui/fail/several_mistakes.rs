use idempotency::{Error, idempotent};

#[idempotent(key = "order:{idd}", ttl = "0s", on_eror = "replay", skip(pool))]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
