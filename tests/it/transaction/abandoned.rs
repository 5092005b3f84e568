//! Bodies in a transaction that do not come to their end.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use idem_runtime::Idempotency;
use idem_runtime::hooks::AbandonReason::{self, Cancelled, Panicked};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::stage::{Db, Failed, Stage, deposit, on_every_database};
use crate::stage::PATIENCE;

on_every_database!(
    a_dropped_body_is_told_and_its_transaction_rolled_back,
    a_panic_is_told_and_its_transaction_rolled_back,
    a_call_that_is_dropped_before_its_body_is_not_told,
);

type Told = Arc<Mutex<Vec<AbandonReason>>>;

async fn listening<DB: Db>(stage: &Stage<DB>) -> (Idempotency, Told) {
    let told = Told::default();
    let hook = {
        let told = Arc::clone(&told);
        move |call: &idem_runtime::hooks::Abandoned<'_>| told.lock().push(call.reason)
    };
    let storage = DB::storage(&stage.pool).await;
    (Idempotency::builder(storage).on_abandoned(hook).build().unwrap(), told)
}

/// The next call with the key runs, and has the only effect.
async fn assert_runs_anew<DB: Db>(stage: &Stage<DB>, idem: &Idempotency) {
    let mut tx = stage.begin().await;
    let call = idem.in_transaction(&mut tx).operation("deposit").key("k");
    let run = call.run_with_outcome(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?));
    assert!(!run.await.unwrap().is_replayed());
    idem.commit(tx).await.unwrap();
    assert_eq!(stage.balance().await, 100);
}

async fn a_dropped_body_is_told_and_its_transaction_rolled_back<DB: Db>(stage: Stage<DB>) {
    let (idem, told) = listening(&stage).await;
    let begun = Notify::new();
    let mut tx = stage.begin().await;
    let call = idem.in_transaction(&mut tx).operation("deposit").key("k");
    let body = async |tx: &mut DB::Connection| {
        deposit::<DB>(tx, 100).await?;
        assert_eq!(idem.in_flight(), 1);
        begun.notify_one();
        std::future::pending::<Result<i64, Failed>>().await
    };
    tokio::select! {
        ended = call.run(body) => panic!("{ended:?}"),
        () = begun.notified() => {}
    }
    tx.rollback().await.unwrap();
    assert_eq!((told.lock().clone(), idem.in_flight()), (vec![Cancelled], 0));
    assert_runs_anew(&stage, &idem).await;
    assert_eq!(*told.lock(), [Cancelled]);
}

async fn a_panic_is_told_and_its_transaction_rolled_back<DB: Db>(stage: Stage<DB>) {
    let (idem, told) = listening(&stage).await;
    let mut tx = stage.begin().await;
    let call = idem.in_transaction(&mut tx).operation("deposit").key("k");
    let body = async |tx: &mut DB::Connection| {
        let balance = deposit::<DB>(tx, 100).await?;
        assert_eq!(balance, 0, "on purpose");
        Ok::<_, Failed>(balance)
    };
    AssertUnwindSafe(call.run(body)).catch_unwind().await.unwrap_err();
    tx.rollback().await.unwrap();
    assert_eq!((told.lock().clone(), idem.in_flight()), (vec![Panicked], 0));
    assert_runs_anew(&stage, &idem).await;
}

async fn a_call_that_is_dropped_before_its_body_is_not_told<DB: Db>(stage: Stage<DB>) {
    let (idem, told) = listening(&stage).await;
    let body = async |tx: &mut DB::Connection| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?);
    let mut holds = stage.begin().await;
    idem.in_transaction(&mut holds).operation("deposit").key("k").run(body).await.unwrap();
    // Another call waits for that transaction.
    let mut waits = stage.begin().await;
    let call = idem.in_transaction(&mut waits).operation("deposit").key("k").wait(PATIENCE);
    timeout(Duration::from_millis(100), call.run(body)).await.unwrap_err();
    holds.rollback().await.unwrap();
    drop(waits);
    assert!(told.lock().is_empty());
}
