use idempotency::{Outcome, idempotent};

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Outcome<u64> {
    Outcome::executed(id)
}

fn main() {}
