//! A call in a transaction: its record and its effect are one.

use std::time::Duration;

use idem_runtime::fingerprint::Fingerprinter;
use idem_runtime::key::RecordKey;
use idem_runtime::policy::ReplayErrors;
use idem_runtime::record::{CrashPolicy, Fence, Status};
use idem_runtime::storage::{Claim, Claimed, Storage};
use idem_runtime::transaction::TransactionConnection;
use idem_runtime::{Error, ErrorKind, Key, Outcome, Source, current};
use metrics_util::debugging::DebuggingRecorder;
use sqlx::Sqlite;

use super::stage::{Db, Failed, Stage, deposit, on_every_database};
use crate::engine::metrics::{Declined, counted, expected};
use crate::outbox::stage::{begin, inside};
use crate::stage::TTL;

on_every_database!(
    a_committed_call_is_replayed,
    what_is_rolled_back_has_never_happened,
    a_failure_that_is_rolled_back_is_forgotten_and_one_that_is_committed_is_kept,
    an_error_that_may_be_tried_again_frees_the_key_though_it_is_committed,
    a_result_that_is_not_to_be_stored_frees_the_key,
    another_fingerprint_is_refused_before_anything_else,
    a_call_is_replayed_inside_of_its_own_transaction,
    all_calls_of_a_transaction_are_committed_together,
    a_connection_inside_a_transaction_is_as_good_as_the_transaction,
    a_savepoint_takes_its_record_along,
    a_body_knows_its_call_and_no_lease_runs_out_under_it,
    a_body_that_calls_itself_is_told_so,
    an_owner_that_died_is_taken_over_if_the_transaction_commits,
    an_owner_that_died_and_is_not_to_be_followed_is_left_alone,
    calls_with_and_without_a_transaction_see_each_other,
    an_expired_record_counts_as_none,
    a_result_that_is_too_large_is_given_to_its_caller,
    keys_that_a_collation_would_merge_are_kept_apart,
);

const NOT_RECOVERED: Source = Source::Executed { recovered: false };

/// A deposit of 100 in a transaction that is committed.
async fn committed<DB: Db>(stage: &Stage<DB>, key: &str) -> Result<Outcome<i64>, Failed> {
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key(key);
    match operation.run_with_outcome(async |tx| Ok(deposit::<DB>(tx, 100).await?)).await {
        Ok(outcome) => {
            stage.idem.commit(tx).await?;
            Ok(outcome)
        }
        Err(error) => {
            // One that is dropped is rolled back a moment later.
            tx.rollback().await.unwrap();
            Err(error)
        }
    }
}

fn record(key: &str) -> RecordKey {
    RecordKey::new("default", None, &Key::new(key).unwrap()).unwrap()
}

/// A claim by the same operation without a transaction, by an owner that is silent from then on.
fn claim(key: &str, lease: Duration, on_crash: CrashPolicy) -> Claim {
    Claim {
        key: record(key),
        owner: idem_runtime::record::OwnerId::random(),
        fingerprint: Fingerprinter::new("deposit").finish(),
        lease,
        ttl: TTL,
        on_crash,
    }
}

async fn a_committed_call_is_replayed<DB: Db>(stage: Stage<DB>) {
    for number in 0..3 {
        let outcome = committed(&stage, "1").await.unwrap();
        assert_eq!(outcome.value, 100);
        assert_eq!(outcome.is_replayed(), number > 0, "{:?}", outcome.source);
    }
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
    // To another process it is the same.
    let (pool, elsewhere) = stage.elsewhere().await;
    let mut tx = pool.begin().await.unwrap();
    let operation = elsewhere.in_transaction(&mut tx).operation("deposit").key("1");
    let value = operation.run(async |_| Err::<i64, _>(Failed::Declined)).await.unwrap();
    assert_eq!(value, 100);
}

async fn what_is_rolled_back_has_never_happened<DB: Db>(stage: Stage<DB>) {
    for dropped in [true, false] {
        let mut tx = stage.begin().await;
        let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
        let value = operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await;
        assert_eq!(value.unwrap(), 100);
        if dropped {
            drop(tx);
            // What was in its way is gone when another one can lock what it had locked.
            let mut next = stage.begin().await;
            deposit::<DB>(&mut next, 0).await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
        assert_eq!((stage.balance().await, stage.records().await), (0, 0));
    }
    assert!(!committed(&stage, "1").await.unwrap().is_replayed());
    assert_eq!(stage.balance().await, 100);
}

async fn a_failure_that_is_rolled_back_is_forgotten_and_one_that_is_committed_is_kept<DB: Db>(
    stage: Stage<DB>,
) {
    for commits in [false, true] {
        let mut tx = stage.begin().await;
        let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
        let body = async |tx: &mut DB::Connection| {
            deposit::<DB>(tx, 100).await?;
            Err::<i64, _>(Failed::Declined)
        };
        assert!(matches!(operation.run(body).await, Err(Failed::Declined)));
        if commits {
            stage.idem.commit(tx).await.unwrap();
        } else {
            tx.rollback().await.unwrap();
            assert_eq!((stage.balance().await, stage.records().await), (0, 0));
        }
    }
    let error = committed(&stage, "1").await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::PreviouslyFailed);
    assert_eq!(error.failure(), Some("the card was declined"));
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
}

async fn an_error_that_may_be_tried_again_frees_the_key_though_it_is_committed<DB: Db>(
    stage: Stage<DB>,
) {
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let operation = operation.retry_if(|error: &Failed| matches!(error, Failed::Declined));
    let failed = operation.run(async |_| Err::<i64, _>(Failed::Declined)).await;
    assert!(matches!(failed, Err(Failed::Declined)));
    stage.idem.commit(tx).await.unwrap();
    let released = stage.idem.storage().load(&record("1")).await.unwrap().unwrap();
    assert_eq!((released.status(), released.fence), (Status::Released, Fence::FIRST));
    assert_eq!(committed(&stage, "1").await.unwrap().source, NOT_RECOVERED);
}

async fn a_result_that_is_not_to_be_stored_frees_the_key<DB: Db>(stage: Stage<DB>) {
    for _ in 0..2 {
        let mut tx = stage.begin().await;
        let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
        let operation = operation.store_if(|balance: &i64| *balance > 100);
        let outcome = operation
            .run_with_outcome(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?))
            .await;
        assert!(!outcome.unwrap().is_replayed());
        stage.idem.commit(tx).await.unwrap();
    }
    assert_eq!(stage.balance().await, 200);
    assert_eq!(committed(&stage, "1").await.unwrap().value, 200);
}

async fn another_fingerprint_is_refused_before_anything_else<DB: Db>(stage: Stage<DB>) {
    let _ = committed(&stage, "done").await.unwrap();
    let claimed = claim("running", TTL, CrashPolicy::Retry);
    stage.idem.storage().claim(&claimed).await.unwrap();
    let dead = claim("dead", Duration::from_millis(1), CrashPolicy::Retry);
    stage.idem.storage().claim(&dead).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    for key in ["done", "running", "dead"] {
        let mut tx = stage.begin().await;
        let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key(key);
        let operation = operation.fingerprint(&1);
        let refused = operation.run(async |_| Err::<i64, _>(Failed::Declined)).await.unwrap_err();
        let error = refused.ours();
        assert_eq!(error.kind(), ErrorKind::Mismatch, "{key}");
        tx.rollback().await.unwrap();
    }
}

async fn a_call_is_replayed_inside_of_its_own_transaction<DB: Db>(stage: Stage<DB>) {
    let mut tx = stage.begin().await;
    for replayed in [false, true, true] {
        let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
        let outcome = operation
            .run_with_outcome(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?))
            .await;
        let outcome = outcome.unwrap();
        assert_eq!((outcome.value, outcome.is_replayed()), (100, replayed));
    }
    stage.idem.commit(tx).await.unwrap();
    assert_eq!(stage.balance().await, 100);
}

async fn all_calls_of_a_transaction_are_committed_together<DB: Db>(stage: Stage<DB>) {
    for commits in [false, true] {
        let mut tx = stage.begin().await;
        for key in ["1", "2", "3"] {
            let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key(key);
            operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await.unwrap();
        }
        if commits {
            stage.idem.commit(tx).await.unwrap();
        } else {
            tx.rollback().await.unwrap();
        }
    }
    assert_eq!((stage.balance().await, stage.records().await), (300, 3));
}

async fn a_connection_inside_a_transaction_is_as_good_as_the_transaction<DB: Db>(stage: Stage<DB>)
where
    DB::Connection: TransactionConnection<Database = DB>,
{
    let mut pooled = stage.pool.acquire().await.unwrap();
    let mut tx = begin::<DB>(&mut pooled).await;
    let operation = stage.idem.in_transaction(inside(&mut tx)).operation("deposit").key("1");
    let body = async |connection: &mut DB::Connection| {
        let update = "UPDATE accounts SET balance = balance + 100 WHERE name = 'alice'";
        DB::run(connection, update.to_owned()).await?;
        Ok::<_, Failed>(100)
    };
    operation.run(body).await.unwrap();
    tx.commit().await.unwrap();
    drop(pooled);
    assert_eq!(committed(&stage, "1").await.unwrap().value, 100);
    assert_eq!(stage.balance().await, 100);
}

async fn a_savepoint_takes_its_record_along<DB: Db>(stage: Stage<DB>) {
    let mut tx = stage.begin().await;
    for commits in [false, true] {
        let mut savepoint = begin::<DB>(inside(&mut tx)).await;
        let operation = stage.idem.in_transaction(&mut savepoint).operation("deposit").key("1");
        let outcome = operation
            .run_with_outcome(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?))
            .await;
        assert!(!outcome.unwrap().is_replayed());
        if commits {
            savepoint.commit().await.unwrap();
        } else {
            savepoint.rollback().await.unwrap();
        }
    }
    stage.idem.commit(tx).await.unwrap();
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
}

async fn a_body_knows_its_call_and_no_lease_runs_out_under_it<DB: Db>(stage: Stage<DB>) {
    let lease = Duration::from_millis(20);
    let idem = idem_runtime::Idempotency::builder(stage.idem.storage().clone());
    let idem = idem.lease(lease).build().unwrap();
    let mut tx = stage.begin().await;
    let operation = idem.in_transaction(&mut tx).operation("deposit").key("1").tenant("shop");
    let body = async |tx: &mut DB::Connection| {
        let call = current().expect("a body has a context");
        assert_eq!((call.operation(), call.key().as_str()), ("deposit", "1"));
        assert_eq!((call.tenant(), call.fence(), call.attempt()), (Some("shop"), Fence::FIRST, 1));
        let lost = tokio::time::timeout(lease * 3, call.lease_lost()).await;
        assert!(lost.is_err(), "a transaction has no lease to lose");
        Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)
    };
    operation.run(body).await.unwrap();
    idem.commit(tx).await.unwrap();
    assert!(current().is_none());
    assert_eq!(stage.balance().await, 100);
}

async fn a_body_that_calls_itself_is_told_so<DB: Db>(stage: Stage<DB>)
where
    DB::Connection: TransactionConnection<Database = DB>,
{
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let body = async |tx: &mut DB::Connection| {
        let inner = stage.idem.in_transaction(tx).operation("deposit").key("1");
        inner.run(async |_| Ok::<i64, Error>(1)).await
    };
    let error = operation.run(body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Reentrant);
}

async fn an_owner_that_died_is_taken_over_if_the_transaction_commits<DB: Db>(stage: Stage<DB>) {
    let dead = claim("1", Duration::from_millis(1), CrashPolicy::Retry);
    stage.idem.storage().claim(&dead).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    for commits in [false, true] {
        let mut tx = stage.begin().await;
        let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
        let body = async |tx: &mut DB::Connection| {
            assert_eq!(current().unwrap().fence(), Fence::new(2));
            Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)
        };
        let outcome = operation.run_with_outcome(body).await.unwrap();
        assert_eq!(outcome.source, Source::Executed { recovered: true });
        if commits {
            stage.idem.commit(tx).await.unwrap();
        } else {
            tx.rollback().await.unwrap();
            let record = stage.idem.storage().load(&record("1")).await.unwrap().unwrap();
            assert_eq!((record.owner, record.fence), (dead.owner, Fence::FIRST));
        }
    }
    assert!(committed(&stage, "1").await.unwrap().is_replayed());
    assert_eq!(stage.balance().await, 100);
}

async fn an_owner_that_died_and_is_not_to_be_followed_is_left_alone<DB: Db>(stage: Stage<DB>) {
    let dead = claim("1", Duration::from_millis(1), CrashPolicy::Park);
    stage.idem.storage().claim(&dead).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    for _ in 0..2 {
        let refused = committed(&stage, "1").await.unwrap_err();
        let error = refused.ours();
        assert_eq!(error.kind(), ErrorKind::Indeterminate);
        assert!(!error.is_retryable());
    }
    assert_eq!(stage.balance().await, 0);
}

async fn calls_with_and_without_a_transaction_see_each_other<DB: Db>(stage: Stage<DB>) {
    let running = claim("1", TTL, CrashPolicy::Retry);
    let claimed = stage.idem.storage().claim(&running).await.unwrap();
    assert!(matches!(claimed, Claimed::Acquired { .. }));
    let refused = committed(&stage, "1").await.unwrap_err();
    let error = refused.ours();
    assert_eq!(error.kind(), ErrorKind::AlreadyProcessing);
    assert!(error.retry_after().unwrap() > Duration::from_secs(1));

    let _ = committed(&stage, "2").await.unwrap();
    let plain = stage.idem.operation("deposit").key("2");
    let outcome = plain.run_with_outcome(async { Err::<i64, _>(Failed::Declined) }).await.unwrap();
    assert_eq!((outcome.value, outcome.is_replayed()), (100, true));
    let plain = stage.idem.operation("deposit").key("3");
    plain.run(async { Ok::<_, Failed>(7_i64) }).await.unwrap();
    assert_eq!(committed(&stage, "3").await.unwrap().value, 7);
}

async fn an_expired_record_counts_as_none<DB: Db>(stage: Stage<DB>) {
    let ttl = Duration::from_millis(100);
    let idem = idem_runtime::Idempotency::builder(stage.idem.storage().clone());
    let idem = idem.lease(ttl).ttl(ttl).build().unwrap();
    for round in 1..=2 {
        let mut tx = stage.begin().await;
        let operation = idem.in_transaction(&mut tx).operation("deposit").key("1");
        let outcome = operation
            .run_with_outcome(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?))
            .await;
        assert_eq!(outcome.unwrap().value, round * 100);
        idem.commit(tx).await.unwrap();
        tokio::time::sleep(ttl + Duration::from_millis(10)).await;
    }
    assert_eq!(stage.records().await, 1);
}

async fn a_result_that_is_too_large_is_given_to_its_caller<DB: Db>(stage: Stage<DB>) {
    let idem = idem_runtime::Idempotency::builder(stage.idem.storage().clone());
    let idem = idem.max_result_size(10).build().unwrap();
    let call = async || {
        let mut tx = stage.begin().await;
        let operation = idem.in_transaction(&mut tx).operation("deposit").key("1");
        let outcome = operation.run_with_outcome(async |_| Ok::<_, Error>("x".repeat(11))).await?;
        idem.commit(tx).await?;
        Ok::<_, Error>(outcome)
    };
    let outcome = call().await.unwrap();
    assert_eq!((outcome.value.len(), outcome.source), (11, Source::Unrecorded));
    assert_eq!(call().await.unwrap_err().kind(), ErrorKind::TooLarge);
}

async fn keys_that_a_collation_would_merge_are_kept_apart<DB: Db>(stage: Stage<DB>) {
    let keys = ["a", "A", "a ", "\u{e4}", "a\u{308}", "\u{1F980}", "\u{1F981}", "'\"\\%_"];
    for replayed in [false, true] {
        for key in keys {
            assert_eq!(committed(&stage, key).await.unwrap().is_replayed(), replayed, "{key:?}");
        }
    }
    assert_eq!(stage.balance().await, 100 * i64::try_from(keys.len()).unwrap());
}

/// On one thread, which is what the recorder is for.
#[tokio::test]
async fn a_call_in_a_transaction_is_counted_like_any_other() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let stage = Stage::<Sqlite>::new().await;
    let declined = || Error::new(ErrorKind::Configuration, "declined");
    for result in [Ok(1), Ok(1), Err(declined())] {
        let mut tx = stage.begin().await;
        let key = format!("{}", result.is_ok());
        let operation = stage.idem.in_transaction(&mut tx).operation("charge").key(key);
        let told = operation.run(async |_| result.clone()).await;
        assert_eq!(told.is_ok(), result.is_ok());
        stage.idem.commit(tx).await.unwrap();
    }
    // Its replay is one, and what is refused before the database is asked is counted.
    for _ in 0..2 {
        let mut tx = stage.begin().await;
        let operation = stage.idem.in_transaction(&mut tx).operation("charge").key("declined");
        let told = operation.errors(ReplayErrors).run(async |_| Err::<u32, _>(Declined::ByBank));
        assert_eq!(told.await, Err(Declined::ByBank));
        stage.idem.commit(tx).await.unwrap();
    }
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("charge").key("");
    let told = operation.run(async |_| Ok::<_, Error>(1)).await;
    assert_eq!(told.unwrap_err().kind(), ErrorKind::KeyGeneration);
    let itself = async |tx: &mut <Sqlite as sqlx::Database>::Connection| {
        let operation = stage.idem.in_transaction(tx).operation("charge").key("itself");
        operation.run(async |_| Ok::<_, Error>(1)).await
    };
    let operation = stage.idem.in_transaction(&mut tx).operation("charge").key("itself");
    assert_eq!(operation.run(itself).await.unwrap_err().kind(), ErrorKind::Reentrant);
    tx.rollback().await.unwrap();
    let counts =
        [("executed", 1), ("failed", 2), ("key_generation", 1), ("reentrant", 2), ("replayed", 2)];
    assert_eq!(counted(&snapshotter), expected(&counts));
}
