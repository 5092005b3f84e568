use idempotency::{Error, Outcome, idempotent};

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Result<Option<Outcome<u64>>, Error> {
    Ok(Some(Outcome::executed(id)))
}

fn main() {}
