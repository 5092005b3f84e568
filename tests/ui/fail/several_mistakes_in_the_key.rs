use idempotency::{Error, idempotent};

#[idempotent(key = "{idd}{other}:{id.len()}:{}:{id:?}")]
async fn place(id: u64) -> Result<u64, Error> {
    Ok(id)
}

#[idempotent(key = ":{self.shop}:{order}:{line}")]
async fn change(id: u64) -> Result<u64, Error> {
    Ok(id)
}

fn main() {}
