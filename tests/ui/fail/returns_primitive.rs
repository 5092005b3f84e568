use idempotency::idempotent;

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> u64 {
    id
}

fn main() {}
