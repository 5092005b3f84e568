//! `#[instrument(err, ret)]` above and below, on every kind of function.

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use idem_ui::{Runs, on_memory};
use idempotency::sqlx::{Postgres, Transaction};
use idempotency::{Error, idempotent};
use tracing::instrument;

static RUNS: Runs = Runs::new();

type Boxed<'a> = Pin<Box<dyn Future<Output = Result<u32, Error>> + Send + 'a>>;

#[instrument(skip(secret), fields(sum = a + b), err, ret)]
#[idempotent(key = "free-above:{id}")]
async fn free_above(id: u32, (a, b): (u32, u32), secret: &str) -> Result<u32, Error> {
    Ok(id + a + b + secret.len() as u32 + RUNS.next())
}

#[idempotent(key = "free-below:{id}")]
#[instrument(fields(id), err(Debug), ret)]
async fn free_below(id: u32, (a, b): (u32, u32)) -> Result<u32, Error> {
    Ok(id + a + b + RUNS.next())
}

#[instrument(skip_all, err)]
#[idempotent(key = "generic-above:{id}")]
async fn generic_above<T: serde::Serialize>(id: u32, value: T) -> Result<u32, Error> {
    let _ = value;
    Ok(id + RUNS.next())
}

#[idempotent(key = "generic-below:{id}")]
#[instrument(skip_all, err)]
async fn generic_below<T: serde::Serialize>(id: u32, value: T) -> Result<u32, Error> {
    let _ = value;
    Ok(id + RUNS.next())
}

#[instrument(err)]
#[idempotent(key = "boxed-above:{id}")]
fn boxed_above(id: &u32) -> Boxed<'_> {
    Box::pin(async move { Ok(id + RUNS.next()) })
}

#[idempotent(key = "boxed-below:{id}")]
#[instrument(err, ret)]
fn boxed_below(id: &u32) -> Boxed<'_> {
    let id = *id;
    Box::pin(async move { Ok(id + RUNS.next()) })
}

#[instrument(err)]
#[idempotent(key = "future-above:{id}")]
fn future_above(id: u32) -> impl Future<Output = Result<u32, Error>> {
    async move { Ok(id + RUNS.next()) }
}

#[idempotent(key = "future-below:{id}")]
#[instrument(err)]
fn future_below(id: u32) -> impl Future<Output = Result<u32, Error>> {
    async move { Ok(id + RUNS.next()) }
}

#[instrument(err)]
#[idempotent(key = "finish-above:{id}", on_cancel = "finish")]
async fn finish_above(id: u32) -> Result<u32, Error> {
    Ok(id + RUNS.next())
}

#[idempotent(key = "finish-below:{id}", on_cancel = "finish")]
#[instrument(err)]
async fn finish_below(id: u32) -> Result<u32, Error> {
    Ok(id + RUNS.next())
}

#[instrument(skip(tx), err)]
#[idempotent(key = "tx-above:{id}", tx = tx)]
async fn tx_above(tx: &mut Transaction<'_, Postgres>, id: u32) -> Result<u32, anyhow::Error> {
    let _ = tx;
    Ok(id)
}

#[idempotent(key = "tx-below:{id}", tx = tx)]
#[instrument(skip(tx), err)]
async fn tx_below(tx: &mut Transaction<'_, Postgres>, id: u32) -> Result<u32, anyhow::Error> {
    let _ = tx;
    Ok(id)
}

#[derive(Clone, Debug, serde::Serialize)]
struct Shop(u32);

impl Shop {
    #[instrument(err)]
    #[idempotent(key = "associated-above:{id}")]
    async fn associated_above(id: u32) -> Result<u32, Error> {
        Ok(id + RUNS.next())
    }

    #[idempotent(key = "associated-below:{id}")]
    #[instrument(err)]
    async fn associated_below(id: u32) -> Result<u32, Error> {
        Ok(id + RUNS.next())
    }

    #[instrument(err)]
    #[idempotent(key = "method-above:{self.0}")]
    async fn method_above(&mut self) -> Result<u32, Error> {
        self.0 += 1;
        Ok(self.0 + RUNS.next())
    }

    #[idempotent(key = "method-below:{self.0}")]
    #[instrument(skip(self), err)]
    async fn method_below(self: Arc<Self>) -> Result<u32, Error> {
        Ok(self.0 + RUNS.next())
    }
}

trait Native {
    async fn native_above(self) -> Result<u32, Error>;
    async fn native_below(self) -> Result<u32, Error>;
}

impl Native for Shop {
    #[instrument(err)]
    #[idempotent(key = "native-above:{self.0}")]
    async fn native_above(self) -> Result<u32, Error> {
        Ok(self.0 + RUNS.next())
    }

    #[idempotent(key = "native-below:{self.0}")]
    #[instrument(err)]
    async fn native_below(self) -> Result<u32, Error> {
        Ok(self.0 + RUNS.next())
    }
}

#[async_trait]
trait Bank {
    async fn trait_above(&self, id: u32) -> Result<u32, Error>;
    async fn trait_below(&self, id: u32) -> Result<u32, Error>;

    #[instrument(skip_all, err)]
    #[idempotent(key = "default-above:{id}")]
    async fn default_above(&self, id: u32) -> Result<u32, Error> {
        Ok(id + RUNS.next())
    }

    #[idempotent(key = "default-below:{id}")]
    #[instrument(skip_all, err)]
    async fn default_below(&self, id: u32) -> Result<u32, Error> {
        Ok(id + RUNS.next())
    }
}

#[async_trait]
impl Bank for Shop {
    #[instrument(skip(self), fields(shop = self.0), err)]
    #[idempotent(key = "trait-above:{id}")]
    async fn trait_above(&self, id: u32) -> Result<u32, Error> {
        Ok(id + self.0 + RUNS.next())
    }

    #[idempotent(key = "trait-below:{id}")]
    #[instrument(skip(self), err, ret)]
    async fn trait_below(&self, id: u32) -> Result<u32, Error> {
        Ok(id + self.0 + RUNS.next())
    }
}

macro_rules! once {
    ($($call:expr),* $(,)?) => {
        let mut runs = 0;
        $(
            runs += 1;
            let first: u32 = $call.await.unwrap();
            assert_eq!(RUNS.count(), runs, "{}", stringify!($call));
            assert_eq!($call.await.unwrap(), first, "{}", stringify!($call));
            assert_eq!(RUNS.count(), runs, "{}", stringify!($call));
        )*
    };
}

#[test]
fn accepted() {
    let _ = (tx_above, tx_below);
    on_memory(async {
        let shop = Shop(7);
        once![
            free_above(1, (1, 1), "abc"),
            free_below(1, (1, 1)),
            generic_above(1, "value"),
            generic_below(1, "value"),
            boxed_above(&1),
            boxed_below(&1),
            future_above(1),
            future_below(1),
            finish_above(1),
            finish_below(1),
            Shop::associated_above(1),
            Shop::associated_below(1),
            shop.clone().method_above(),
            Arc::new(shop.clone()).method_below(),
            shop.clone().native_above(),
            shop.clone().native_below(),
            shop.trait_above(1),
            shop.trait_below(1),
            shop.default_above(1),
            shop.default_below(1),
        ];
    });
}
