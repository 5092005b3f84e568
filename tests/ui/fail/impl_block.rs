use idempotency::{Error, idempotent};

struct Shop;

#[idempotent(key = "order")]
impl Shop {
    async fn place(&self) -> Result<u64, Error> {
        Ok(1)
    }
}

fn main() {}
