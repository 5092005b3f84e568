use idempotency::{Error, idempotent};

trait Shop {
    #[idempotent(key = "order:{id}")]
    async fn place(&self, id: u64) -> Result<u64, Error>;
}

fn main() {}
