use idempotency::{Error, Outcome, idempotent};

#[derive(serde::Deserialize)]
struct Receipt(u64);

type Placed = Result<Outcome<Receipt>, Error>;

#[idempotent(key = "order:{id}", store_if = |receipt| receipt.0 > 0)]
async fn place(id: u64) -> Placed {
    Ok(Outcome::executed(Receipt(id)))
}

fn main() {}
