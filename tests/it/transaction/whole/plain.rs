//! What every transaction does, with nothing in its way.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use idem_runtime::{ErrorKind, Idempotency, Source};
use idempotency::idempotent;
use sqlx::pool::PoolOptions;
use sqlx::{Pool, Postgres, Transaction};
use tokio::sync::Notify;

use super::super::stage::{Db, Failed, Stage, deposit, on_every_database};
use super::{Runs, deposit_once};
use crate::stage::in_time;

on_every_database!(
    what_succeeds_is_committed_and_replayed,
    what_fails_is_rolled_back_and_runs_again,
    a_panic_rolls_back_and_goes_on,
    a_caller_that_goes_away_leaves_nothing_behind,
    a_handle_on_another_database_runs_nothing,
    it_may_be_called_from_any_task,
    a_pool_that_is_closed_is_the_callers_error,
    a_body_that_keeps_its_transaction_is_refused,
);

async fn what_succeeds_is_committed_and_replayed<DB: Db>(stage: Stage<DB>) {
    let runs = Runs::default();
    let pay = async || {
        let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
            runs.next();
            let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
            operation
                .run_with_outcome(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?))
                .await
        });
        in_time(paid).await.unwrap()
    };
    let first = pay().await;
    assert_eq!((first.value, first.source), (100, Source::Executed { recovered: false }));
    let again = pay().await;
    assert!(again.is_replayed());
    assert_eq!((again.value, stage.balance().await, stage.records().await), (100, 100, 1));
    assert_eq!(runs.count(), 2);
}

async fn what_fails_is_rolled_back_and_runs_again<DB: Db>(stage: Stage<DB>) {
    // The only connection is as good as before each time.
    let pool = PoolOptions::<DB>::new().max_connections(1).connect(&stage.url).await.unwrap();
    let runs = Runs::default();
    let pay = async |declines: bool| {
        let paid = stage.idem.transaction(&pool, async |mut tx| {
            runs.next();
            deposit::<DB>(&mut tx, 1).await?;
            let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
            let body = async |tx: &mut DB::Connection| {
                let balance = deposit::<DB>(tx, 100).await?;
                if declines { Err(Failed::Declined) } else { Ok(balance) }
            };
            operation.run(body).await
        });
        in_time(paid).await
    };
    assert!(matches!(pay(true).await, Err(Failed::Declined)));
    assert_eq!((stage.balance().await, stage.records().await, runs.count()), (0, 0, 1));
    assert_eq!(pay(false).await.unwrap(), 101);
    assert_eq!((stage.balance().await, stage.records().await, runs.count()), (101, 1, 2));
}

async fn a_panic_rolls_back_and_goes_on<DB: Db>(stage: Stage<DB>) {
    let pool = PoolOptions::<DB>::new().max_connections(1).connect(&stage.url).await.unwrap();
    let runs = Runs::default();
    let pay = async |panics: bool| {
        let paid = stage.idem.transaction(&pool, async |mut tx| {
            runs.next();
            let balance = deposit_once::<DB>(&stage.idem, &mut tx, "1").await?;
            assert!(!panics, "a bug of the application's");
            Ok::<_, Failed>(balance)
        });
        in_time(paid).await
    };
    let panic = AssertUnwindSafe(pay(true)).catch_unwind().await.unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"a bug of the application's"));
    assert_eq!((stage.balance().await, stage.records().await, runs.count()), (0, 0, 1));
    assert_eq!(pay(false).await.unwrap(), 100);
    assert_eq!((stage.balance().await, stage.records().await, runs.count()), (100, 1, 2));
}

async fn a_caller_that_goes_away_leaves_nothing_behind<DB: Db>(stage: Stage<DB>) {
    let (inside, never) = (Notify::new(), Notify::new());
    let stuck = stage.idem.transaction(&stage.pool, async |mut tx| {
        let balance = deposit_once::<DB>(&stage.idem, &mut tx, "1").await?;
        inside.notify_one();
        never.notified().await;
        Ok::<_, Failed>(balance)
    });
    let gone = tokio::select! {
        _ = stuck => false,
        () = inside.notified() => true,
    };
    assert!(gone);
    let balance = async {
        loop {
            let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
                deposit_once::<DB>(&stage.idem, &mut tx, "1").await
            });
            match paid.await {
                Ok(balance) => break balance,
                // Until the connection of the first is back in the pool.
                Err(error) => assert_eq!(error.ours().kind(), ErrorKind::AlreadyProcessing),
            }
        }
    };
    assert_eq!(in_time(balance).await, 100);
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
}

async fn a_handle_on_another_database_runs_nothing<DB: Db>(stage: Stage<DB>) {
    let elsewhere = Idempotency::memory();
    let runs = Runs::default();
    let paid = elsewhere.transaction(&stage.pool, async |mut tx| {
        runs.next();
        deposit_once::<DB>(&elsewhere, &mut tx, "1").await
    });
    assert_eq!(paid.await.unwrap_err().ours().kind(), ErrorKind::Configuration);
    assert_eq!((stage.balance().await, runs.count()), (0, 0));
}

async fn it_may_be_called_from_any_task<DB: Db>(stage: Stage<DB>) {
    async fn pay<DB: Db>(idem: &Idempotency, pool: &Pool<DB>, key: &str) -> Result<i64, Failed> {
        idem.transaction(pool, async |mut tx| deposit_once::<DB>(idem, &mut tx, key).await).await
    }

    let calls = ["1", "2", "1"].map(|key| {
        let (idem, pool) = (stage.idem.clone(), stage.pool.clone());
        async move {
            while let Err(error) = pay::<DB>(&idem, &pool, key).await {
                assert_eq!(error.ours().kind(), ErrorKind::AlreadyProcessing);
            }
        }
    });
    in_time(futures_util::future::join_all(calls)).await;
    assert_eq!((stage.balance().await, stage.records().await), (200, 2));
}

async fn a_pool_that_is_closed_is_the_callers_error<DB: Db>(stage: Stage<DB>) {
    stage.pool.close().await;
    let runs = Runs::default();
    let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
        runs.next();
        deposit_once::<DB>(&stage.idem, &mut tx, "1").await
    });
    let error = in_time(paid).await.unwrap_err();
    assert!(matches!(error, Failed::Database(sqlx::Error::PoolClosed)), "{error:?}");
    assert_eq!(runs.count(), 0);
}

/// It could be committed by nobody.
async fn a_body_that_keeps_its_transaction_is_refused<DB: Db>(stage: Stage<DB>) {
    let kept = parking_lot::Mutex::new(None);
    let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
        let balance = deposit_once::<DB>(&stage.idem, &mut tx, "1").await?;
        *kept.lock() = Some(tx);
        Ok::<_, Failed>(balance)
    });
    let error = in_time(paid).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error:?}");
    drop(kept);
    let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
        let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
        let operation = operation.wait(crate::stage::PATIENCE);
        operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await
    });
    assert_eq!(in_time(paid).await.unwrap(), 100);
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
}

#[idempotent(name = "deposit", key = "deposit:{id}", tx = tx, with = idem, skip(idem))]
async fn annotated(
    tx: &mut Transaction<'_, Postgres>,
    idem: &Idempotency,
    id: &str,
) -> Result<i64, Failed> {
    Ok(deposit::<Postgres>(tx, 100).await?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn annotated_functions_are_called_in_it_from_a_task() {
    let stage = Stage::<Postgres>::new().await;
    for _ in 0..2 {
        let (idem, pool) = (stage.idem.clone(), stage.pool.clone());
        let task = tokio::spawn(async move {
            idem.transaction(&pool, async |mut tx| annotated(&mut tx, &idem, "1").await).await
        });
        assert_eq!(in_time(task).await.unwrap().unwrap(), 100);
    }
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
}
