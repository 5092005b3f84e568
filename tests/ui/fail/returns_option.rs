use idempotency::idempotent;

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
