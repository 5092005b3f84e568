use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}{line}")]
async fn place(id: u64, line: u64) -> Result<u64, Error> {
    Ok(id + line)
}

fn main() {}
