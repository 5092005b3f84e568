use idempotency::idempotent;

#[idempotent(key = "order:{id}")]
async fn place(id: u64) {
    let _ = id;
}

fn main() {}
