use idempotency::{Error, idempotent};

#[idempotent(key = "order:{oder}")]
async fn place(order: u64, note: &str) -> Result<u64, Error> {
    Ok(order + note.len() as u64)
}

fn main() {}
