use idempotency::{Error, idempotent};

struct Shop;

impl Shop {
    #[idempotent(skip(self))]
    async fn place(&self, id: u64) -> Result<u64, Error> {
        Ok(id)
    }
}

fn main() {}
