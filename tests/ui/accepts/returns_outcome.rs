//! `Result<Outcome<T>, E>`: the caller is told whether the body ran for it, on every kind of function, behind aliases, with every option.
#![deny(warnings, clippy::pedantic)]

use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use idem_ui::{Runs, on_memory};
use idempotency::sqlx::{Executor, Postgres, Transaction};
use idempotency::{Error, Outcome, Source, idempotent};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

static RUNS: Runs = Runs::new();

#[idempotent(key = "free:{id}")]
async fn free(id: u64) -> Result<Outcome<u32>, Error> {
    let _ = id;
    Ok(Outcome::executed(RUNS.next()))
}

#[idempotent(key = "early:{id}", on_cancel = "finish", store_if = |value| *value > 0)]
async fn early(id: u64) -> Result<Outcome<u32>, anyhow::Error> {
    if id == 7 {
        anyhow::ensure!(RUNS.next() > 0, "none");
        return Ok(7.into());
    }
    Ok(0.into())
}

type Paid<T> = Result<Outcome<T>, Error>;
type Told = Outcome<Vec<u32>>;

#[idempotent(key = "alias:{id}")]
async fn alias_of_the_result(id: u64) -> Paid<u32> {
    let _ = id;
    Ok(Outcome::executed(RUNS.next()))
}

#[idempotent(key = "alias-of-outcome:{id}", store_if = |values| !values.is_empty())]
async fn alias_of_the_outcome(id: u64) -> Result<Told, Error> {
    let _ = id;
    Ok(Told::executed(vec![RUNS.next()]))
}

/// What the body calls says where that result came from, which is not where this one does.
#[idempotent(key = "outer:{id}")]
async fn outer(id: u64) -> Result<Outcome<u32>, Error> {
    let first = free(id).await?;
    assert!(first.is_replayed());
    RUNS.next();
    Ok(first)
}

#[idempotent(key = "generic:{id}")]
async fn generic<T>(id: u64, value: T) -> Result<Outcome<T>, Error>
where
    T: Serialize + DeserializeOwned + Send,
{
    let _ = id;
    RUNS.next();
    Ok(value.into())
}

struct Shop {
    region: String,
}

impl Shop {
    #[idempotent(key = "ship:{self.region}:{id}")]
    async fn ship(&self, id: u64) -> Result<Outcome<String>, Error> {
        RUNS.next();
        Ok(Outcome::executed(format!("{id} from {}", self.region)))
    }

    #[idempotent(key = "detached:{id}", on_cancel = "finish")]
    async fn detached(self: Arc<Self>, id: u64) -> Result<Outcome<String>, Error> {
        RUNS.next();
        Ok(Outcome::executed(format!("{id} from {}", self.region)))
    }
}

#[async_trait]
trait Orders {
    async fn place(&self, id: u64) -> Result<Outcome<u32>, Error>;

    #[idempotent(key = "cancel:{id}")]
    async fn cancel(&self, id: u64) -> Paid<u32> {
        let _ = id;
        Ok(Outcome::executed(RUNS.next()))
    }
}

#[async_trait]
impl Orders for Shop {
    #[idempotent(key = "place:{id}")]
    async fn place(&self, id: u64) -> Result<Outcome<u32>, Error> {
        let _ = id;
        Ok(Outcome::executed(RUNS.next()))
    }
}

#[idempotent(key = "impl-future:{id}")]
fn impl_future(id: u64) -> impl Future<Output = Result<Outcome<u32>, Error>> + Send {
    let _ = id;
    async move { Ok(Outcome::executed(RUNS.next())) }
}

#[idempotent(key = "boxed:{id}")]
fn boxed(id: u64) -> Pin<Box<dyn Future<Output = Result<Outcome<u32>, Error>> + Send>> {
    let _ = id;
    Box::pin(async move { Ok(Outcome::executed(RUNS.next())) })
}

/// Another type of that name, which is stored as a whole.
mod game {
    use super::{Deserialize, Serialize};

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    pub struct Outcome<T> {
        pub winner: T,
    }
}

#[idempotent(key = "game:{id}", store_if = |outcome| outcome.winner > 0)]
async fn outcome_of_the_users(id: u64) -> Result<game::Outcome<u32>, Error> {
    let _ = id;
    Ok(game::Outcome { winner: RUNS.next() })
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Refusal {
    Empty,
    Ours(String),
}

#[idempotent(key = "errors:{id}", on_error = "replay", map_err = |error| Refusal::Ours(error.to_string()))]
async fn errors(id: u64) -> Result<Outcome<u32>, Refusal> {
    RUNS.next();
    if id == 0 { Err(Refusal::Empty) } else { Ok(1.into()) }
}

#[idempotent(key = "transfer:{id}", tx = tx)]
async fn in_a_transaction(
    tx: &mut Transaction<'_, Postgres>,
    id: u32,
) -> Result<Outcome<u32>, anyhow::Error> {
    tx.execute("SELECT 1").await?;
    Ok(id.into())
}

fn is_send<F: Future + Send>(_: impl Fn() -> F) {}

macro_rules! once {
    ($call:expr, $value:expr) => {{
        let before = RUNS.count();
        let first = $call.await.unwrap();
        assert_eq!(first.source, Source::Executed { recovered: false });
        assert_eq!(RUNS.count(), before + 1);
        let again = $call.await.unwrap();
        assert!(again.is_replayed());
        assert_eq!(RUNS.count(), before + 1);
        assert_eq!(first.value, again.value);
        let value: Option<_> = $value;
        assert_eq!(first.into_value(), value.unwrap_or(again.into_value()));
    }};
}

#[test]
fn accepted() {
    is_send(|| async {
        let pool = idempotency::sqlx::PgPool::connect_lazy("postgres://localhost/bank")?;
        let mut tx = pool.begin().await?;
        let outcome: Outcome<u32> = in_a_transaction(&mut tx, 1).await?;
        anyhow::Ok(outcome)
    });
    is_send(|| free(1));
    is_send(|| early(1));
    let shop = Arc::new(Shop { region: "eu".into() });
    on_memory(async {
        once!(free(7), None);
        once!(early(7), Some(7));
        once!(alias_of_the_result(7), None);
        once!(alias_of_the_outcome(7), None);
        once!(outer(7), None);
        once!(generic(7, "text".to_owned()), Some("text".to_owned()));
        once!(shop.ship(7), Some("7 from eu".to_owned()));
        once!(Arc::clone(&shop).detached(7), Some("7 from eu".to_owned()));
        once!(shop.place(7), None);
        once!(shop.cancel(7), None);
        once!(impl_future(7), None);
        once!(boxed(7), None);
        once!(errors(7), Some(1));
        // What is not stored is executed again.
        for _ in 0..2 {
            assert!(!early(8).await.unwrap().is_replayed());
        }
        let winner = outcome_of_the_users(7).await.unwrap();
        assert_eq!(outcome_of_the_users(7).await.unwrap(), winner);
        let runs = RUNS.count();
        assert_eq!(errors(0).await.unwrap_err(), Refusal::Empty);
        assert_eq!(errors(0).await.unwrap_err(), Refusal::Empty);
        assert_eq!(RUNS.count(), runs + 1);
    });
}
