use idempotency::idempotent;
use idempotency::sqlx::{Postgres, Transaction};

#[idempotent(key = "transfer:{id}", tx = tx)]
async fn transfer(tx: Transaction<'_, Postgres>, id: u32) -> Result<u32, idempotency::Error> {
    drop(tx);
    Ok(id)
}

fn main() {}
