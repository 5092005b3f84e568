use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}")]
fn place(id: u64) -> impl Future<Output = Result<u64, Error>> {
    std::future::ready(Ok(id))
}

fn main() {}
