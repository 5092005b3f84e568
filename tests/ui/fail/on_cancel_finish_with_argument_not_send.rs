use std::rc::Rc;

use idempotency::idempotent;

#[idempotent(key = "charge:{id}", on_cancel = "finish", skip(cache))]
async fn charge(id: u64, cache: Rc<u64>) -> Result<u64, idempotency::Error> {
    Ok(id + *cache)
}

fn main() {}
