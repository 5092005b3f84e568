use std::ops::Deref;

use idempotency::{Error, idempotent};

/// Called like a wrapper, with a second field.
struct Json<T> {
    body: T,
    user: u64,
}

impl<T> Deref for Json<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.body
    }
}

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64, order: Json<u64>) -> Result<u64, Error> {
    Ok(id + order.user)
}

fn main() {
    let _ = idem_ui::on_memory(pay(1, Json { body: 1, user: 2 }));
}
