use idempotency::idempotent;

#[idempotent(key = "order:{id}")]
fn place(id: u64) -> impl Future<Output = u64> {
    async move { id }
}

fn main() {}
