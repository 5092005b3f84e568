use std::rc::Rc;

use idempotency::idempotent;

#[idempotent(key = "charge:{id}", on_cancel = "finish")]
async fn charge(id: u64) -> Result<u64, idempotency::Error> {
    let cache = Rc::new(id);
    std::future::ready(()).await;
    Ok(*cache)
}

fn main() {}
