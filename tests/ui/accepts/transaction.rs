//! Bodies of `Idempotency::transaction`, with errors of each kind, in futures that can be spawned.
#![deny(warnings, clippy::pedantic)]

use std::sync::atomic::{AtomicU32, Ordering};

use idempotency::sqlx::{Executor, PgPool, Postgres, Transaction};
use idempotency::transaction::{Isolation, Tx};
use idempotency::{Error, Idempotency, Outcome, idempotent};

#[derive(Debug, thiserror::Error)]
enum BankError {
    #[error("the database failed")]
    Database(#[from] idempotency::sqlx::Error),
    #[error(transparent)]
    Idempotency(#[from] Error),
    #[error("not enough")]
    NotEnough,
}

#[idempotent(key = "transfer:{id}", tx = tx)]
async fn transfer(tx: &mut Transaction<'_, Postgres>, id: u32) -> Result<Outcome<u32>, BankError> {
    tx.execute("SELECT 1").await?;
    if id == 0 { Err(BankError::NotEnough) } else { Ok(id.into()) }
}

async fn one(idem: Idempotency, pool: PgPool, id: u32) -> Result<u32, BankError> {
    let paid = idem.transaction(&pool, async |mut tx| transfer(&mut tx, id).await).await?;
    Ok(paid.into_value())
}

async fn several(idem: &Idempotency, pool: &PgPool, ids: Vec<u32>) -> anyhow::Result<u32> {
    idem.build_transaction(pool)
        .isolation(Isolation::Serializable)
        .attempts(3)
        .run(async |mut tx| {
            let mut sum = 0;
            for id in &ids {
                sum += transfer(&mut tx, *id).await?.value;
                tx.execute("SELECT 1").await?;
            }
            Ok::<_, anyhow::Error>(sum)
        })
        .await
}

async fn boxed(
    idem: &Idempotency,
    pool: &PgPool,
) -> Result<u32, Box<dyn std::error::Error + Send + Sync>> {
    let runs = AtomicU32::new(0);
    let body = async |mut tx: Tx<Postgres>| {
        tx.execute("SELECT 1").await?;
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(runs.fetch_add(1, Ordering::Relaxed))
    };
    idem.transaction(pool, body).await
}

#[test]
fn accepted() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        // There is nobody at this address: no body runs, whatever is spawned.
        let pool = PgPool::connect_lazy("postgres://127.0.0.1:1/bank").unwrap();
        let storage = idempotency::storage::PostgresStorage::new(pool.clone());
        let idem = Idempotency::new(storage).unwrap();
        pool.close().await;
        let paid = tokio::spawn(one(idem.clone(), pool.clone(), 1)).await.unwrap();
        assert!(matches!(paid, Err(BankError::Database(_))));
        let (handle, closed) = (idem.clone(), pool.clone());
        let paid = tokio::spawn(async move { several(&handle, &closed, vec![1]).await });
        assert!(paid.await.unwrap().is_err());
        let paid = tokio::spawn(async move { boxed(&idem, &pool).await });
        assert!(paid.await.unwrap().is_err());
    });
}
