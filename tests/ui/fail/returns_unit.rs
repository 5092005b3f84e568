use idempotency::idempotent;

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> () {
    drop(id)
}

fn main() {}
