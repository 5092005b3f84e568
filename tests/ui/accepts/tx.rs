//! Functions that take a transaction, or a connection inside one, of each database there is a feature of.
#![deny(warnings, clippy::pedantic)]

use async_trait::async_trait;
use idempotency::sqlx::pool::PoolConnection;
use idempotency::sqlx::{Acquire, Executor, PgConnection, Postgres, Transaction};
use idempotency::{Error, idempotent};

#[idempotent(key = "transfer:{id}", tx = tx)]
async fn in_a_transaction(
    tx: &mut Transaction<'_, Postgres>,
    id: u32,
) -> Result<u32, anyhow::Error> {
    tx.execute("SELECT 1").await?;
    inner(tx, id).await?;
    Ok(id)
}

async fn inner(connection: &mut PgConnection, id: u32) -> Result<u32, anyhow::Error> {
    connection.execute("SELECT 1").await?;
    Ok(id)
}

#[idempotent(key = "transfer:{id}", tx = connection, wait = "5s", on_error = "release")]
async fn on_a_connection(connection: &mut PgConnection, id: u32) -> Result<u32, anyhow::Error> {
    let mut savepoint = connection.begin().await?;
    savepoint.execute("SELECT 1").await?;
    if id == 7 {
        return Ok(8);
    }
    savepoint.commit().await?;
    Ok(id)
}

#[idempotent(key = "transfer:{id}", tx = r#try)]
async fn on_a_pooled_one<'a>(
    r#try: &'a mut PoolConnection<Postgres>,
    id: &'a str,
) -> Result<String, anyhow::Error> {
    r#try.execute("SELECT 1").await?;
    Ok(id.to_owned())
}

struct Bank;

#[async_trait]
trait Transfers {
    async fn transfer(&self, tx: &mut Transaction<'_, Postgres>, id: u32) -> Result<u32, Error>;
}

#[async_trait]
impl Transfers for Bank {
    #[idempotent(key = "transfer:{id}", tx = tx)]
    async fn transfer(&self, tx: &mut Transaction<'_, Postgres>, id: u32) -> Result<u32, Error> {
        let _ = inner(tx, id).await;
        Ok(id)
    }
}

fn is_send<F: Future + Send>(_: impl Fn() -> F) {}

#[test]
fn accepted() {
    is_send(|| async {
        let pool = idempotency::sqlx::PgPool::connect_lazy("postgres://localhost/bank")?;
        let mut tx = pool.begin().await?;
        in_a_transaction(&mut tx, 1).await?;
        on_a_connection(&mut tx, 1).await?;
        Bank.transfer(&mut tx, 1).await?;
        tx.commit().await?;
        on_a_pooled_one(&mut pool.acquire().await?, "1").await
    });
}
