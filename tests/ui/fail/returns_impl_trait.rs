use idempotency::idempotent;

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> impl std::fmt::Display {
    id
}

fn main() {}
