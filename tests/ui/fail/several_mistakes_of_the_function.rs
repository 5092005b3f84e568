use idempotency::{Error, idempotent};

#[idempotent(key = "order:{id}")]
fn place(id: u64) -> Option<u64> {
    Some(id)
}

#[idempotent(on_error = "replayed")]
const extern "C" fn change(id: u64) -> u64 {
    id
}

#[idempotent(lease = "2h", ttl = "1h", name = "")]
struct Order;

trait Orders {
    #[idempotent]
    async fn cancel(&self, id: u64) -> Option<u64>;
}

async fn used() -> Result<(), Error> {
    Ok(())
}

fn main() {
    drop(used());
}
