use idempotency::idempotent;

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> &'static str {
    if id > 0 { "some" } else { "none" }
}

fn main() {}
