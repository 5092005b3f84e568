use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}")]
async fn place<T>(id: u64, note: T) -> Result<u64, Error> {
    drop(note);
    Ok(id)
}

fn main() {}
