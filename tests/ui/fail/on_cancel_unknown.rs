use idempotency::idempotent;

#[idempotent(on_cancel = "finnish")]
async fn charge(id: u64) -> Result<u64, idempotency::Error> {
    Ok(id)
}

fn main() {}
