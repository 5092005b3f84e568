//! What cannot be done in a transaction is refused, and nothing is lost.

use std::time::Duration;

use idem_runtime::storage::{SharedStorage, Storage};
use idem_runtime::testing::FaultyStorage;
use idem_runtime::{Error, ErrorKind, Idempotency};
use sqlx::{MySql, Postgres, Sqlite};

use super::stage::{Db, Failed, Stage, Tx, deposit, on_every_database};
use crate::faults::chains::assert_nothing_said_twice;
use crate::outbox::stage::{Db as _, inside, pool};
use crate::stage::in_time;

on_every_database!(
    without_a_transaction_nothing_runs,
    a_storage_that_is_not_on_this_database_is_refused,
    a_missing_table_says_what_to_do,
    a_key_that_cannot_be_used_leaves_the_transaction_as_it_was,
    a_record_that_cannot_be_read_is_left_as_it_is,
    an_error_in_a_transaction_knows_its_call,
    a_body_that_lost_its_record_does_not_commit_without_it,
    callers_that_go_away_leave_no_transaction_behind,
);

async fn refused<DB: Db>(idem: &Idempotency, tx: &mut Tx<'_, DB>, key: &str) -> Error {
    let operation = idem.in_transaction(tx).operation("deposit").key(key);
    operation.run(async |_| -> Result<i64, Error> { panic!("the body ran") }).await.unwrap_err()
}

async fn without_a_transaction_nothing_runs<DB: Db>(stage: Stage<DB>) {
    let mut connection = stage.pool.acquire().await.unwrap();
    let operation = stage.idem.in_transaction(&mut connection).operation("deposit").key("1");
    let body = async |_: &mut _| -> Result<i64, Error> { panic!("the body ran") };
    let error = operation.run(body).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert!(error.to_string().contains("not inside a transaction"), "{error}");
    assert_eq!(stage.records().await, 0);
}

async fn a_storage_that_is_not_on_this_database_is_refused<DB: Db>(stage: Stage<DB>) {
    let faulty = FaultyStorage::new(stage.idem.storage().clone());
    let mut others = vec![
        Idempotency::memory(),
        // A wrapper that does something of its own to verbs would be passed by.
        Idempotency::new(faulty).unwrap(),
    ];
    if DB::NAME == "SQLite" {
        others.push(Stage::<Postgres>::new().await.idem);
    } else {
        others.push(Stage::<Sqlite>::new().await.idem);
    }
    for idem in others {
        let mut tx = stage.begin().await;
        let error = refused(&idem, &mut tx, "1").await;
        assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
        assert_eq!(idem.commit(tx).await.unwrap_err().kind(), ErrorKind::Configuration);
    }
}

async fn a_missing_table_says_what_to_do<DB: Db>(stage: Stage<DB>) {
    let mut connection = stage.pool.acquire().await.unwrap();
    let drop_table = "DROP TABLE idempotency_records".to_owned();
    DB::run(&mut connection, drop_table).await.unwrap();
    drop(connection);
    let mut tx = stage.begin().await;
    let error = refused(&stage.idem, &mut tx, "1").await;
    assert_eq!(error.kind(), ErrorKind::Configuration, "{error}");
    assert!(error.to_string().contains("migrate()"), "{error}");
}

async fn a_key_that_cannot_be_used_leaves_the_transaction_as_it_was<DB: Db>(stage: Stage<DB>) {
    let mut tx = stage.begin().await;
    deposit::<DB>(&mut tx, 1).await.unwrap();
    for key in ["", "a\0b", &"x".repeat(5000)] {
        let error = refused(&stage.idem, &mut tx, key).await;
        assert_eq!(error.kind(), ErrorKind::KeyGeneration, "{error}");
    }
    stage.idem.commit(tx).await.unwrap();
    assert_eq!(stage.balance().await, 1);
}

/// What an error says of its call does not depend on where the record is.
async fn an_error_in_a_transaction_knows_its_call<DB: Db>(stage: Stage<DB>) {
    let plain = stage.idem.operation("charge").key("a-key");
    plain.run(async { Ok::<_, Error>(1_i64) }).await.unwrap();
    let mut tx = stage.begin().await;
    let error = refused(&stage.idem, &mut tx, "a-key").await;
    assert_eq!(error.kind(), ErrorKind::Mismatch);
    assert!(error.to_string().contains("by the operation `charge`"), "{error}");
    assert_eq!((error.operation(), error.key()), (Some("deposit"), Some("a-key")));
    let hash = error.key_hash().unwrap();
    assert!(error.to_string().contains(&hash), "{error}");
    stage.idem.rollback(tx).await;

    // The other way round, and in every kind of trouble.
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("taken");
    operation.run(async |_| Ok::<_, Error>(1_i64)).await.unwrap();
    stage.idem.commit(tx).await.unwrap();
    let other = stage.idem.operation("charge").key("taken").run(async { Ok::<_, Error>(1_i64) });
    let error = other.await.unwrap_err();
    assert!(error.to_string().contains("by the operation `deposit`"), "{error}");
    let mut connection = stage.pool.acquire().await.unwrap();
    DB::run(&mut connection, "DROP TABLE idempotency_records".to_owned()).await.unwrap();
    drop(connection);
    let mut tx = stage.begin().await;
    let error = refused(&stage.idem, &mut tx, "a-key").await;
    assert_eq!((error.kind(), error.key()), (ErrorKind::Configuration, Some("a-key")));
    assert_nothing_said_twice(&error);
    stage.idem.rollback(tx).await;
}

async fn a_record_that_cannot_be_read_is_left_as_it_is<DB: Db>(stage: Stage<DB>) {
    let plain = stage.idem.operation("deposit").key("1");
    plain.run(async { Ok::<_, Error>(1_i64) }).await.unwrap();
    for harm in ["status = 'gone'", "version = 2"] {
        let mut connection = stage.pool.acquire().await.unwrap();
        let update = format!("UPDATE idempotency_records SET {harm}");
        DB::run(&mut connection, update).await.unwrap();
        drop(connection);
        let mut tx = stage.begin().await;
        let error = refused(&stage.idem, &mut tx, "1").await;
        assert_eq!(error.kind(), ErrorKind::Corrupt, "{error}");
        tx.rollback().await.unwrap();
        let left = format!("SELECT count(*) FROM idempotency_records WHERE {harm}");
        assert_eq!(stage.number(&left).await, 1);
    }
}

async fn a_body_that_lost_its_record_does_not_commit_without_it<DB: Db>(stage: Stage<DB>) {
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let body = async |tx: &mut DB::Connection| {
        DB::run(tx, "DELETE FROM idempotency_records".to_owned()).await?;
        Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)
    };
    let error = operation.run(body).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::LeaseLost);
    tx.rollback().await.unwrap();
    assert_eq!(stage.balance().await, 0);
}

/// Callers that go away at any moment, begin and commit included.
async fn callers_that_go_away_leave_no_transaction_behind<DB: Db>(stage: Stage<DB>) {
    let calls = idem_tests::extent(200, 1000);
    let pool = pool::<DB>(&stage.url).await;
    for number in 0..calls {
        let (pool, idem) = (pool.clone(), stage.idem.clone());
        let call = async move {
            // A caller that goes away in `begin` would leave the connection inside a transaction: it is begun where nobody goes away.
            let begin = tokio::spawn(async move { pool.begin().await });
            let mut tx = begin.await.unwrap()?;
            let operation = idem.in_transaction(&mut tx).operation("deposit");
            let operation = operation.key(format!("{number}"));
            // Unprepared: sqlx 0.9 loses its way on a MySQL connection on which a prepare was given up, which the library cannot mend.
            let update = "UPDATE accounts SET balance = balance + 1 WHERE name = 'alice'";
            let body = async |tx: &mut DB::Connection| {
                DB::run(tx, update.to_owned()).await?;
                Ok::<_, Failed>(1)
            };
            operation.run(body).await?;
            idem.commit(tx).await?;
            Ok::<_, Failed>(())
        };
        let patience = Duration::from_micros(fastrand::u64(0..6000));
        if let Ok(result) = tokio::time::timeout(patience, call).await {
            result.unwrap();
        }
    }
    // Whoever comes next finds the database free, and effects and records agree.
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("last");
    let last = operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 1).await?));
    in_time(last).await.unwrap();
    stage.idem.commit(tx).await.unwrap();
    let agree = async {
        while stage.balance().await != stage.records().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    in_time(agree).await;
    if let Some(idle) = DB::idle_in_transaction() {
        let none = async {
            while stage.number(idle).await != 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        in_time(none).await;
    }
    pool.close().await;
}

/// The query for the number of sessions that stand still inside a transaction, where the database can say it.
trait Idle {
    fn idle_in_transaction() -> Option<&'static str>;
}

impl<DB: Db> Idle for DB {
    fn idle_in_transaction() -> Option<&'static str> {
        match DB::NAME {
            "PostgreSQL" => Some(
                "SELECT count(*) FROM pg_stat_activity
                 WHERE datname = current_database() AND state LIKE 'idle in transaction%'",
            ),
            _ => None,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_of_one_connection_is_enough() {
    async fn on<DB: Db>() {
        let stage = Stage::<DB>::new().await;
        let pool = sqlx::pool::PoolOptions::<DB>::new().max_connections(1);
        let pool = pool.acquire_timeout(crate::stage::PATIENCE).connect(&stage.url).await.unwrap();
        let idem = Idempotency::new(DB::storage(&pool).await).unwrap();
        for replayed in [false, true] {
            let mut tx = pool.begin().await.unwrap();
            let operation = idem.in_transaction(&mut tx).operation("deposit").key("1");
            let outcome = operation
                .run_with_outcome(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 1).await?))
                .await;
            assert_eq!(outcome.unwrap().is_replayed(), replayed);
            idem.commit(tx).await.unwrap();
        }
    }

    in_time(on::<Postgres>()).await;
    in_time(on::<MySql>()).await;
    in_time(on::<Sqlite>()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_transaction_says_so() {
    let stage = Stage::<Postgres>::new().await;
    let mut tx = stage.begin().await;
    Postgres::run(inside(&mut tx), "SET TRANSACTION READ ONLY".to_owned()).await.unwrap();
    let error = refused(&stage.idem, &mut tx, "1").await;
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.to_string().contains("read-only"), "{error}");
    let shared: &SharedStorage = stage.idem.storage();
    assert_eq!(shared.backend(), "postgres");
}
