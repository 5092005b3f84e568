use idempotency::idempotent;

#[idempotent(key = "order:{id}")]
extern "C" fn place(id: u64) -> u64 {
    id
}

fn main() {}
