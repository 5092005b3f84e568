use idempotency::{Error, Outcome, idempotent};

#[derive(serde::Deserialize)]
struct Receipt(u64);

#[idempotent(key = "order:{id}")]
async fn place(id: u64) -> Result<Outcome<Receipt>, Error> {
    Ok(Outcome::executed(Receipt(id)))
}

fn main() {}
