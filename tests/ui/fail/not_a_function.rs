use idempotency::idempotent;

#[idempotent(key = "order")]
struct Order;

fn main() {}
