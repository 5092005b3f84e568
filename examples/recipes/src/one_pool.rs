//! One pool for the application and the library, and one commit for the effect and its record.

use idempotency::storage::PostgresStorage;
use idempotency::{Idempotency, idempotent};
use sqlx::postgres::PgPoolOptions;
use sqlx::{Postgres, Transaction};

#[derive(Debug, thiserror::Error)]
enum TransferError {
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

/// The row and the record commit together: exactly once.
#[idempotent(name = "deposit", key = "deposit:{id}", ttl = "30d", tx = tx)]
async fn deposit(
    tx: &mut Transaction<'_, Postgres>,
    id: i64,
    cents: i64,
) -> Result<i64, TransferError> {
    let insert = "INSERT INTO deposits (id, cents) VALUES ($1, $2)";
    sqlx::query(insert).bind(id).bind(cents).execute(&mut **tx).await?;
    Ok(sqlx::query_scalar("SELECT sum(cents)::bigint FROM deposits").fetch_one(&mut **tx).await?)
}

pub(crate) async fn run(url: &str, id: i64) -> anyhow::Result<()> {
    let pool = PgPoolOptions::new().max_connections(5).connect(url).await?;
    sqlx::query(
        "CREATE TABLE IF NOT EXISTS deposits (id bigint PRIMARY KEY, cents bigint NOT NULL)",
    )
    .execute(&pool)
    .await?;
    // The library opens a few connections of its own beside the pool, with the pool's options, so
    // bodies that hold the whole pool do not prevent renewals. Only statements in `tx` use the
    // pool.
    let storage = PostgresStorage::new(pool.clone());
    storage.migrate().await?; // in production: when the service is deployed
    idempotency::set_global(Idempotency::new(storage)?)?;
    let idem = idempotency::handle()?;
    // Begins, runs the body, and commits. Rolls back on an error; retries a deadlock or a
    // serialization failure. Resolves an ambiguous commit when the reply is lost.
    let balance: i64 =
        idem.transaction(&pool, async |mut tx| deposit(&mut tx, id, 100).await).await?;
    println!("balance {balance}");
    Ok(())
}
