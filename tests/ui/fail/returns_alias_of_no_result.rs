use idempotency::idempotent;

type Placed = u64;

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Placed {
    id
}

fn main() {}
