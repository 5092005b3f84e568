use idempotency::sqlx::{Postgres, Transaction};
use idempotency::{Error, Outcome, idempotent};

#[derive(serde::Deserialize)]
struct Receipt(u64);

#[idempotent(key = "order:{id}", tx = tx)]
async fn place(tx: &mut Transaction<'_, Postgres>, id: u64) -> Result<Outcome<Receipt>, Error> {
    let _ = tx;
    Ok(Outcome::executed(Receipt(id)))
}

fn main() {}
