use idempotency::idempotent;

struct Shop;

impl Shop {
    #[idempotent(key = "charge:{id}", on_cancel = "finish")]
    async fn charge(&self, id: u64) -> Result<u64, idempotency::Error> {
        Ok(id)
    }
}

fn main() {}
