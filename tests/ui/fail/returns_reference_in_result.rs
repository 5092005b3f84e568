use idempotency::{Error, idempotent};

#[idempotent(key = "order:{note}")]
async fn place(note: &str) -> Result<&str, Error> {
    Ok(note)
}

fn main() {}
