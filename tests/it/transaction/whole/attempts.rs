//! What is tried again, and what is not.

use std::sync::Arc;
use std::time::Duration;

use idem_runtime::transaction::Tx;
use idem_runtime::{ErrorKind, Idempotency};
use sqlx::pool::PoolOptions;
use sqlx::{MySql, Pool, Postgres, Sqlite};
use tokio::sync::Barrier;

use super::super::stage::{Db, Failed, Stage, deposit, on_every_database};
use super::{Runs, deposit_once};
use crate::outbox::stage::inside;
use crate::stage::{in_time, until};

on_every_database!(
    attempts_are_bounded_and_the_last_error_is_told,
    no_attempt_is_a_mistake,
    a_key_that_another_runner_has_is_tried_until_it_is_free_or_told,
    a_body_that_lost_a_connection_of_its_own_is_not_run_again,
);

/// Errors of a database that a statement makes: those of transactions that were aborted, and others.
pub(super) trait Raises: Db {
    /// Fails as a transaction that the database aborted for others.
    const ABORTED: &'static [&'static str];

    /// Fails otherwise.
    const OTHERWISE: &'static [&'static str];
}

impl Raises for Postgres {
    const ABORTED: &'static [&'static str] = &[
        "DO $$ BEGIN RAISE 'raised' USING ERRCODE = '40001'; END $$",
        "DO $$ BEGIN RAISE 'raised' USING ERRCODE = '40P01'; END $$",
    ];
    const OTHERWISE: &'static [&'static str] = &[
        "INSERT INTO accounts VALUES ('alice', 0)",
        "SELECT 1 / 0",
        "SELECT nonsense",
        "DO $$ BEGIN RAISE 'raised' USING ERRCODE = '57014'; END $$",
        "DO $$ BEGIN RAISE 'raised' USING ERRCODE = '55P03'; END $$",
    ];
}

impl Raises for MySql {
    const ABORTED: &'static [&'static str] = &[
        "SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213",
        "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020",
        "SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205",
    ];
    const OTHERWISE: &'static [&'static str] = &[
        "INSERT INTO accounts VALUES ('alice', 0)",
        "SELECT nonsense",
        "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 1644",
        "SIGNAL SQLSTATE '70100' SET MYSQL_ERRNO = 1317",
    ];
}

/// SQLite has no way to raise one, so these are real: see [`a_writer_that_holds_the_file_is_waited_for`].
impl Raises for Sqlite {
    const ABORTED: &'static [&'static str] = &[];
    const OTHERWISE: &'static [&'static str] =
        &["INSERT INTO accounts VALUES ('alice', 0)", "SELECT nonsense", "BEGIN"];
}

/// A deposit that meets the error in its first attempts, before, in or after the call.
async fn meeting<DB: Db>(
    stage: &Stage<DB>,
    key: &str,
    (error, place): (&str, Place),
    attempts: u32,
    runs: &Runs,
) -> Result<i64, Failed> {
    let raise = async |connection: &mut DB::Connection, here: Place, run: u32| {
        if here == place && run <= attempts {
            DB::run(connection, error.to_owned()).await?;
        }
        Ok::<_, Failed>(())
    };
    let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
        let run = runs.next();
        raise(inside(&mut tx), Place::Before, run).await?;
        let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key(key);
        let body = async |tx: &mut DB::Connection| {
            let balance = deposit::<DB>(tx, 100).await?;
            raise(tx, Place::In, run).await?;
            Ok::<_, Failed>(balance)
        };
        let balance = operation.run(body).await?;
        raise(inside(&mut tx), Place::After, run).await?;
        Ok(balance)
    });
    in_time(paid).await
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    Before,
    In,
    After,
}

const PLACES: [Place; 3] = [Place::Before, Place::In, Place::After];

async fn aborted_transactions_are_tried_again_and_others_are_not<DB: Raises>() {
    let stage = Stage::<DB>::new().await;
    let mut deposits = 0;
    for error in DB::ABORTED {
        for place in PLACES {
            deposits += 1;
            let (runs, key) = (Runs::default(), deposits.to_string());
            let balance = meeting(&stage, &key, (error, place), 2, &runs).await.unwrap();
            assert_eq!((balance, runs.count()), (deposits * 100, 3), "{error} {place:?}");
            assert_eq!(stage.records().await, deposits, "{error} {place:?}");
        }
    }
    for error in DB::OTHERWISE {
        for place in PLACES {
            let runs = Runs::default();
            let failed = meeting(&stage, "other", (error, place), 2, &runs).await.unwrap_err();
            assert!(matches!(failed, Failed::Database(_)), "{error} {place:?}: {failed:?}");
            assert_eq!(runs.count(), 1, "{error} {place:?}");
        }
    }
    assert_eq!((stage.balance().await, stage.records().await), (deposits * 100, deposits));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres_what_was_aborted_is_tried_again_and_nothing_else() {
    aborted_transactions_are_tried_again_and_others_are_not::<Postgres>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_mysql_what_was_aborted_is_tried_again_and_nothing_else() {
    aborted_transactions_are_tried_again_and_others_are_not::<MySql>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_what_is_refused_is_not_tried_again() {
    aborted_transactions_are_tried_again_and_others_are_not::<Sqlite>().await;
}

/// Two transactions lock two accounts in opposite orders. The database aborts one, and both have happened in the end.
async fn a_deadlock_costs_nobody_a_deposit<DB: Db>(in_the_call: bool) {
    let stage = Stage::<DB>::new().await;
    stage.run("INSERT INTO accounts VALUES ('bob', 0)").await;
    let (runs, both) = (Runs::default(), Barrier::new(2));
    let pay = async |key: &str, first: &str, second: &str| {
        let tried = Runs::default();
        let add = async |connection: &mut DB::Connection, account: &str| {
            let sql = format!("UPDATE accounts SET balance = balance + 1 WHERE name = '{account}'");
            DB::run(connection, sql).await
        };
        let body = async |connection: &mut DB::Connection| {
            runs.next();
            add(connection, first).await?;
            if tried.next() == 1 {
                both.wait().await;
            }
            add(connection, second).await?;
            Ok::<_, Failed>(())
        };
        let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
            if in_the_call {
                let operation = stage.idem.in_transaction(&mut tx).operation("transfer").key(key);
                operation.run(async |tx| body(tx).await).await
            } else {
                let operation = stage.idem.in_transaction(&mut tx).operation("transfer").key(key);
                operation.run(async |_| Ok::<_, Failed>(())).await?;
                body(inside(&mut tx)).await
            }
        });
        in_time(paid).await.unwrap();
    };
    tokio::join!(pay("1", "alice", "bob"), pay("2", "bob", "alice"));
    let bob = stage.number("SELECT balance FROM accounts WHERE name = 'bob'").await;
    assert_eq!((stage.balance().await, bob, stage.records().await), (2, 2, 2), "{}", DB::NAME);
    assert!(runs.count() >= 3, "there was no deadlock");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_on_postgres_costs_nobody_a_deposit() {
    a_deadlock_costs_nobody_a_deposit::<Postgres>(true).await;
    a_deadlock_costs_nobody_a_deposit::<Postgres>(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deadlock_on_mysql_costs_nobody_a_deposit() {
    a_deadlock_costs_nobody_a_deposit::<MySql>(true).await;
    a_deadlock_costs_nobody_a_deposit::<MySql>(false).await;
}

/// Longer than one `BEGIN IMMEDIATE` waits.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_holds_the_file_is_waited_for() {
    use std::str::FromStr;

    let stage = Stage::<Sqlite>::new().await;
    let options = sqlx::sqlite::SqliteConnectOptions::from_str(&stage.url).unwrap();
    let attempts = Arc::<Runs>::default();
    let counted = Arc::clone(&attempts);
    let pool = PoolOptions::<Sqlite>::new().after_release(move |_, _| {
        counted.next();
        Box::pin(std::future::ready(Ok(true)))
    });
    let pool = pool.connect_with(options.busy_timeout(Duration::from_millis(1))).await.unwrap();
    let writer = stage.pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let runs = Runs::default();
    let paid = async {
        let paid = stage.idem.build_transaction(&pool).attempts(1_000).run(async |mut tx| {
            runs.next();
            deposit_once::<Sqlite>(&stage.idem, &mut tx, "1").await
        });
        in_time(paid).await.unwrap()
    };
    let freed = async {
        let before = attempts.count();
        until("attempts have failed", || attempts.count() > before + 2).await;
        writer.rollback().await.unwrap();
    };
    let (balance, ()) = tokio::join!(paid, freed);
    assert_eq!((balance, runs.count()), (100, 1));
}

async fn attempts_are_bounded_and_the_last_error_is_told<DB: Db>(stage: Stage<DB>) {
    for most in [1, 3] {
        let runs = Runs::default();
        let paid = stage.idem.build_transaction(&stage.pool).attempts(most).run(async |mut tx| {
            deposit_once::<DB>(&stage.idem, &mut tx, "1").await?;
            Err::<(), _>(broken(runs.next()))
        });
        let error = in_time(paid).await.unwrap_err();
        assert_eq!(runs.count(), most);
        assert_eq!(error.to_string(), broken(most).to_string());
    }
    assert_eq!((stage.balance().await, stage.records().await), (0, 0));
}

/// A connection that broke, and which attempt it was.
fn broken(attempt: u32) -> Failed {
    let error = std::io::Error::new(std::io::ErrorKind::BrokenPipe, format!("attempt {attempt}"));
    Failed::Database(sqlx::Error::Io(error))
}

async fn no_attempt_is_a_mistake<DB: Db>(stage: Stage<DB>) {
    let none = stage.idem.build_transaction(&stage.pool).attempts(0);
    let error = none.run(async |mut tx| deposit_once::<DB>(&stage.idem, &mut tx, "1").await);
    assert_eq!(error.await.unwrap_err().ours().kind(), ErrorKind::Configuration);
}

async fn a_key_that_another_runner_has_is_tried_until_it_is_free_or_told<DB: Db>(stage: Stage<DB>) {
    async fn pay<DB: Db>(
        (idem, pool, attempts): (&Idempotency, &Pool<DB>, u32),
        runs: &Runs,
    ) -> Result<i64, Failed> {
        let run = async |mut tx: Tx<DB>| {
            runs.next();
            deposit_once::<DB>(idem, &mut tx, "1").await
        };
        in_time(idem.build_transaction(pool).attempts(attempts).run(run)).await
    }

    let first = stage.idem.operation("deposit").key("1");
    let (inside, leave) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
    let first = first.run(async {
        inside.notify_one();
        leave.notified().await;
        Ok::<i64, Failed>(7)
    });
    let second = async {
        inside.notified().await;
        let runs = Runs::default();
        let error = pay((&stage.idem, &stage.pool, 2), &runs).await.unwrap_err().ours();
        assert_eq!(error.kind(), ErrorKind::AlreadyProcessing, "{error:?}");
        assert_eq!(runs.count(), 2);
        let third = Runs::default();
        let leaves = async {
            while third.count() < 2 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            leave.notify_one();
        };
        let (paid, ()) = tokio::join!(pay((&stage.idem, &stage.pool, 1_000), &third), leaves);
        assert_eq!(paid.unwrap(), 7);
        assert!(third.count() > 1);
    };
    let (first, ()) = tokio::join!(first, second);
    assert_eq!(first.unwrap(), 7);
}

/// What it committed by itself must not happen again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_ended_its_transaction_is_not_run_again() {
    async fn ending<DB: Raises>(error: &str) {
        let stage = Stage::<DB>::new().await;
        let runs = Runs::default();
        let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
            runs.next();
            deposit::<DB>(&mut tx, 100).await?;
            DB::run(inside(&mut tx), "COMMIT".to_owned()).await?;
            DB::run(inside(&mut tx), error.to_owned()).await?;
            Ok::<_, Failed>(())
        });
        in_time(paid).await.unwrap_err();
        assert_eq!((runs.count(), stage.balance().await), (1, 100), "{}", DB::NAME);
    }

    ending::<Postgres>(Postgres::ABORTED[0]).await;
}

/// Who was asked over that one may have done it.
async fn a_body_that_lost_a_connection_of_its_own_is_not_run_again<DB: Db>(stage: Stage<DB>) {
    type Lost = Box<dyn std::error::Error + Send + Sync>;
    let runs = Runs::default();
    let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
        runs.next();
        deposit_once::<DB>(&stage.idem, &mut tx, "1").await?;
        Err::<i64, Lost>(std::io::Error::from(std::io::ErrorKind::ConnectionReset).into())
    });
    let error = in_time(paid).await.unwrap_err();
    assert!(error.is::<std::io::Error>(), "{error:?}");
    assert_eq!((runs.count(), stage.balance().await), (1, 0), "{}", DB::NAME);
}
