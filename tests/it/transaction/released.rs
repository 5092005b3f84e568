//! A release in a transaction: what it leaves if that commits, and what it is to transactions that began before.

use idem_runtime::key::RecordKey;
use idem_runtime::policy::ReleaseErrors;
use idem_runtime::record::{Fence, Status};
use idem_runtime::storage::Storage;
use idem_runtime::{Error, ErrorKind, Key, Source, current};

use super::stage::{Db, Failed, Stage, deposit, on_every_database};

on_every_database!(
    fences_rise_over_transactions_that_release,
    a_release_that_is_rolled_back_has_never_happened,
    a_key_that_was_released_under_an_open_transaction_is_had_or_refused,
    a_released_key_is_not_for_other_arguments,
);

fn record(key: &str) -> RecordKey {
    RecordKey::new("default", None, &Key::new(key).unwrap()).unwrap()
}

async fn status<DB: Db>(stage: &Stage<DB>, key: &str) -> Option<(Status, Fence)> {
    let record = stage.idem.storage().load(&record(key)).await.unwrap();
    record.map(|record| (record.status(), record.fence))
}

/// Fails so that the key is released, in a transaction that is committed or not, and gives the body's fence.
async fn declined<DB: Db>(stage: &Stage<DB>, key: &str, commits: bool) -> Fence {
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key(key);
    let mut fence = None;
    let body = async |_: &mut DB::Connection| {
        fence = Some(current().unwrap().fence());
        Err::<i64, _>(Failed::Declined)
    };
    assert!(matches!(operation.errors(ReleaseErrors).run(body).await, Err(Failed::Declined)));
    if commits {
        stage.idem.commit(tx).await.unwrap();
    } else {
        tx.rollback().await.unwrap();
    }
    fence.unwrap()
}

async fn fences_rise_over_transactions_that_release<DB: Db>(stage: Stage<DB>) {
    for number in 1..=3 {
        let fence = Fence::new(number);
        assert_eq!(declined(&stage, "1", true).await, fence);
        assert_eq!(status(&stage, "1").await, Some((Status::Released, fence)));
    }
    // And over calls without a transaction.
    let plain = stage.idem.operation("deposit").key("1").errors(ReleaseErrors);
    let refused = plain.run(async {
        assert_eq!(current().unwrap().fence(), Fence::new(4));
        Err::<i64, _>(Failed::Declined)
    });
    assert!(matches!(refused.await, Err(Failed::Declined)));
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let outcome = operation.run_with_outcome(async |tx| {
        assert_eq!(current().unwrap().fence(), Fence::new(5));
        Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)
    });
    assert_eq!(outcome.await.unwrap().source, Source::Executed { recovered: false });
    stage.idem.commit(tx).await.unwrap();
    assert_eq!(status(&stage, "1").await, Some((Status::Completed, Fence::new(5))));
}

async fn a_release_that_is_rolled_back_has_never_happened<DB: Db>(stage: Stage<DB>) {
    assert_eq!(declined(&stage, "1", false).await, Fence::FIRST);
    assert_eq!(status(&stage, "1").await, None);
    assert_eq!(declined(&stage, "1", true).await, Fence::FIRST);
    assert_eq!(declined(&stage, "1", false).await, Fence::new(2));
    assert_eq!(status(&stage, "1").await, Some((Status::Released, Fence::FIRST)));
}

/// The transaction's snapshot does not show the record, and where it cannot be had all the same, the error says to begin anew.
async fn a_key_that_was_released_under_an_open_transaction_is_had_or_refused<DB: Db>(
    stage: Stage<DB>,
) {
    let mut tx = stage.begin().await;
    let look = "SELECT balance FROM accounts WHERE name = 'alice'".to_owned();
    let (_, elsewhere) = stage.elsewhere().await;
    DB::number(crate::outbox::stage::inside(&mut tx), look).await.unwrap();
    let plain = elsewhere.operation("deposit").key("1").store_if(|_: &i64| false);
    plain.run(async { Ok::<_, Error>(1) }).await.unwrap();
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let body = async |_: &mut DB::Connection| Ok::<_, Error>(current().unwrap().fence().get());
    match operation.run(body).await {
        Ok(fence) => {
            assert_eq!(fence, 2);
            stage.idem.commit(tx).await.unwrap();
            assert_eq!(status(&stage, "1").await, Some((Status::Completed, Fence::new(2))));
        }
        Err(error) => {
            assert_eq!((DB::NAME, error.kind()), ("SQLite", ErrorKind::Storage), "{error:?}");
            assert!(error.is_retryable());
            tx.rollback().await.unwrap();
            assert_eq!(status(&stage, "1").await, Some((Status::Released, Fence::FIRST)));
        }
    }
}

async fn a_released_key_is_not_for_other_arguments<DB: Db>(stage: Stage<DB>) {
    declined(&stage, "1", true).await;
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let operation = operation.fingerprint(&1);
    let error = operation.run(async |_| Ok::<i64, Error>(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    tx.rollback().await.unwrap();
}
