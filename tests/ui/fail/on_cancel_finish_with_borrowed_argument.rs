use idempotency::idempotent;

#[idempotent(key = "charge:{id}", on_cancel = "finish")]
async fn charge(id: u64, note: Option<&str>) -> Result<u64, idempotency::Error> {
    let _ = note;
    Ok(id)
}

fn main() {}
