use idempotency::{Error, idempotent};

/// Called like a wrapper, with two fields.
struct Json<T> {
    body: T,
    version: u32,
}

#[idempotent(key = "payment:{id}")]
async fn pay(id: u64) -> Result<Json<u64>, Error> {
    Ok(Json { body: id, version: 1 })
}

fn main() {
    let json = Json { body: 1, version: 1 };
    let _ = (json.body, json.version);
}
