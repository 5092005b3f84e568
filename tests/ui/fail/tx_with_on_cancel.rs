use idempotency::idempotent;
use idempotency::sqlx::{Postgres, Transaction};

#[idempotent(key = "transfer:{id}", tx = tx, on_cancel = "finish")]
async fn transfer(tx: &mut Transaction<'_, Postgres>, id: u32) -> Result<u32, idempotency::Error> {
    let _ = tx;
    Ok(id)
}

fn main() {}
