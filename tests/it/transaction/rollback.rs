//! Rollbacks, which take the error that led to them away from nobody.

use std::time::{Duration, Instant};

use idem_runtime::{ErrorKind, Idempotency};
use sqlx::pool::PoolOptions;
use sqlx::{MySql, Pool, Postgres, Sqlite};
use testkit::proxy::{FaultProxy, Loss};
use url::Url;

use super::stage::{Db, Failed, Stage, deposit, on_every_database};
use crate::outbox::stage::{Db as _, begin, inside};
use crate::stage::{BUSY, in_time};

on_every_database!(
    a_key_is_free_when_its_rollback_is_answered,
    a_handle_without_this_database_rolls_back_all_the_same,
);

/// A deposit as a service makes it. `harm` comes before the call.
async fn pay<DB: Db>(
    pool: &Pool<DB>,
    idem: &Idempotency,
    harm: impl FnOnce(),
) -> Result<i64, Failed> {
    let mut tx = pool.begin().await?;
    // The connection is in use from here on.
    deposit::<DB>(&mut tx, 1).await?;
    harm();
    let operation = idem.in_transaction(&mut tx).operation("deposit").key("1");
    let paid = operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await;
    match paid {
        Ok(balance) => {
            idem.commit(tx).await?;
            Ok(balance)
        }
        Err(error) => {
            idem.rollback(tx).await;
            Err(error)
        }
    }
}

/// A database behind a proxy, and a pool through it.
struct Behind<DB: Db> {
    stage: Stage<DB>,
    proxy: FaultProxy,
    pool: Pool<DB>,
}

impl<DB: Db> Behind<DB> {
    async fn new() -> Self {
        let stage = Stage::<DB>::new().await;
        let url = Url::parse(&stage.url).unwrap();
        let proxy = FaultProxy::start((url.host_str().unwrap(), url.port().unwrap()));
        let pool = PoolOptions::<DB>::new().max_connections(1);
        let pool = pool.connect(&proxy.before(&stage.url)).await.unwrap();
        Self { stage, proxy, pool }
    }

    /// What was deposited before the harm is rolled back, and the next attempt is the only one.
    async fn assert_next_attempt_is_the_only_one(&self) {
        self.proxy.heal();
        let idem = &self.stage.idem;
        let balance = in_time(async {
            loop {
                match pay(&self.pool, idem, || {}).await {
                    Ok(balance) => break balance,
                    // The server may not have noticed that the first connection is gone.
                    Err(error) => assert!(error.ours().is_retryable()),
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        assert_eq!(balance.await, 101);
        assert_eq!(self.stage.balance().await, 101);
    }
}

async fn a_dead_connection_does_not_hide_the_error_of_the_call<DB: Db>() {
    let behind = Behind::<DB>::new().await;
    // The premise: there the rollback of sqlx is an error as well.
    let mut tx = behind.pool.begin().await.unwrap();
    deposit::<DB>(&mut tx, 1).await.unwrap();
    behind.proxy.cut();
    tx.rollback().await.unwrap_err();

    let error = pay(&behind.pool, &behind.stage.idem, || behind.proxy.cut()).await;
    let error = error.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.is_retryable(), "{error:?}");
    behind.assert_next_attempt_is_the_only_one().await;
}

/// A caller has an error to act on, and does not wait for long for another one.
async fn a_connection_that_does_not_answer_keeps_no_caller<DB: Db>() {
    let behind = Behind::<DB>::new().await;
    let claim_timeout = Duration::from_millis(500);
    let idem = Idempotency::builder(behind.stage.idem.storage().clone());
    let idem = idem.claim_timeout(claim_timeout).build().unwrap();
    let mut tx = behind.pool.begin().await.unwrap();
    deposit::<DB>(&mut tx, 1).await.unwrap();
    behind.proxy.drop_requests(Loss::next(1).of_requests_with("ROLLBACK").hanging());
    let start = Instant::now();
    idem.rollback(tx).await;
    assert!(start.elapsed() >= claim_timeout, "{:?}", start.elapsed());
    assert!(start.elapsed() < claim_timeout + BUSY, "{:?}", start.elapsed());
    behind.proxy.cut();
    behind.assert_next_attempt_is_the_only_one().await;
}

macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod with_a_server {
            $(mod $name {
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    crate::transaction::rollback::$name::<sqlx::Postgres>().await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_mysql() {
                    crate::transaction::rollback::$name::<sqlx::MySql>().await;
                }
            })*
        }
    };
}

on_every_server!(
    a_dead_connection_does_not_hide_the_error_of_the_call,
    a_connection_that_does_not_answer_keeps_no_caller,
);

/// The connection stays where it is, so that nothing but the rollback itself can free the key.
async fn a_key_is_free_when_its_rollback_is_answered<DB: Db>(stage: Stage<DB>) {
    let mut connection = stage.pool.acquire().await.unwrap();
    let mut tx = begin::<DB>(&mut connection).await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let body = async |tx: &mut DB::Connection| {
        deposit::<DB>(tx, 100).await?;
        Err::<i64, _>(Failed::Declined)
    };
    assert!(matches!(operation.run(body).await, Err(Failed::Declined)));
    stage.idem.rollback(tx).await;
    assert_eq!(in_time(pay(&stage.pool, &stage.idem, || {})).await.unwrap(), 101);
    drop(connection);
    assert_eq!((stage.balance().await, stage.records().await), (101, 1));
}

async fn a_handle_without_this_database_rolls_back_all_the_same<DB: Db>(stage: Stage<DB>) {
    let elsewhere = Idempotency::memory();
    let error = pay(&stage.pool, &elsewhere, || {}).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    assert_eq!(stage.balance().await, 0);
}

/// Inside of another transaction it is what was done since that is rolled back.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_nested_transaction_is_rolled_back_alone() {
    nested::<Postgres>().await;
    nested::<MySql>().await;
    nested::<Sqlite>().await;
}

async fn nested<DB: Db>() {
    let stage = Stage::<DB>::new().await;
    let mut tx = stage.begin().await;
    deposit::<DB>(&mut tx, 7).await.unwrap();
    let mut nested = begin::<DB>(inside(&mut tx)).await;
    deposit::<DB>(&mut nested, 100).await.unwrap();
    stage.idem.rollback(nested).await;
    stage.idem.commit(tx).await.unwrap();
    assert_eq!(stage.balance().await, 7, "{}", DB::NAME);
}

/// SQLite refuses to roll back what it has ended by itself, and a connection that is left so takes the next transaction for a part of it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_connection_is_as_good_as_before_where_sqlite_ended_the_transaction_itself() {
    let stage = Stage::<Sqlite>::new().await;
    let pool = PoolOptions::<Sqlite>::new().max_connections(1).connect(&stage.url).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    deposit::<Sqlite>(&mut tx, 1).await.unwrap();
    let conflict = "INSERT OR ROLLBACK INTO accounts VALUES ('alice', 0)".to_owned();
    Sqlite::run(inside(&mut tx), conflict).await.unwrap_err();
    stage.idem.rollback(tx).await;
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let body =
        async |tx: &mut sqlx::SqliteConnection| Ok::<_, Failed>(deposit::<Sqlite>(tx, 100).await?);
    assert_eq!(operation.run(body).await.unwrap(), 100);
    stage.idem.commit(tx).await.unwrap();
    assert_eq!(stage.balance().await, 100);
}
