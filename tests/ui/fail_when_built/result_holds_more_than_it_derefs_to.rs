use std::ops::Deref;

use idempotency::{Error, idempotent};

/// A second field, which a result made of the first one alone would not have.
struct Traced {
    body: u64,
    id: u64,
}

impl Deref for Traced {
    type Target = u64;

    fn deref(&self) -> &u64 {
        &self.body
    }
}

impl From<u64> for Traced {
    fn from(body: u64) -> Self {
        Self { body, id: 0 }
    }
}

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64) -> Result<Traced, Error> {
    Ok(Traced { body: id, id })
}

fn main() {
    let _ = idem_ui::on_memory(pay(1));
    let _ = Traced::from(1).id;
}
