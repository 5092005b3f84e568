//! Every isolation level that can be chosen, on every database.

use std::sync::Arc;
use std::time::Duration;

use idem_runtime::transaction::Isolation;
use sqlx::{MySql, Postgres, Sqlite};
use tokio::sync::Barrier;

use super::super::stage::{Db, Failed, Stage, deposit, on_every_database};
use super::{Runs, deposit_once};
use crate::outbox::stage::{Db as _, inside};
use crate::stage::in_time;

on_every_database!(under_each_isolation_each_call_happens_once_without_a_caller_who_tries_again);

const LEVELS: [Option<Isolation>; 4] = [
    None,
    Some(Isolation::ReadCommitted),
    Some(Isolation::RepeatableRead),
    Some(Isolation::Serializable),
];

/// Eight workers make the same calls on one account, and nobody but the library tries again.
async fn under_each_isolation_each_call_happens_once_without_a_caller_who_tries_again<DB: Db>(
    stage: Stage<DB>,
) {
    const CALLS: usize = 4;
    const WORKERS: usize = 8;

    for (round, level) in LEVELS.into_iter().enumerate() {
        let together = Arc::new(Barrier::new(WORKERS));
        let worker = async |worker: usize| {
            let (pool, idem) = stage.elsewhere().await;
            together.wait().await;
            for call in 0..CALLS {
                let key = format!("{level:?}:{}", (call + worker) % CALLS);
                let mut builder = idem.build_transaction(&pool).attempts(500);
                if let Some(level) = level {
                    builder = builder.isolation(level);
                }
                let paid = builder.run(async |mut tx| {
                    let operation = idem.in_transaction(&mut tx).operation("deposit").key(&*key);
                    operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 1).await?)).await
                });
                in_time(paid).await.unwrap();
            }
        };
        futures_util::future::join_all((0..WORKERS).map(worker)).await;
        let expected = i64::try_from((round + 1) * CALLS).unwrap();
        assert_eq!(stage.balance().await, expected, "{level:?}");
        assert_eq!(stage.records().await, expected, "{level:?}");
    }
}

/// Another transaction changes what this one has seen. The database aborts it, and the second attempt sees the change.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_transaction_whose_snapshot_is_too_old_is_tried_again() {
    for (number, (level, attempts)) in [
        (Isolation::ReadCommitted, 1),
        (Isolation::RepeatableRead, 2),
        (Isolation::Serializable, 2),
    ]
    .into_iter()
    .enumerate()
    {
        let stage = Stage::<Postgres>::new().await;
        let runs = Runs::default();
        let key = number.to_string();
        let paid =
            stage.idem.build_transaction(&stage.pool).isolation(level).run(async |mut tx| {
                let seen = "SELECT balance FROM accounts WHERE name = 'alice'".to_owned();
                Postgres::number(inside(&mut tx), seen).await?;
                if runs.next() == 1 {
                    stage.run("UPDATE accounts SET balance = balance + 1000").await;
                }
                deposit_once::<Postgres>(&stage.idem, &mut tx, &key).await
            });
        assert_eq!(in_time(paid).await.unwrap(), 1100, "{level:?}");
        assert_eq!((runs.count(), stage.balance().await), (attempts, 1100), "{level:?}");
    }
}

/// Each transaction sees what both accounts have and takes from one: together they would take too much. Only their commits tell.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_transactions_that_are_aborted_at_their_commit_are_tried_again() {
    let stage = Stage::<Postgres>::new().await;
    stage.run("INSERT INTO accounts VALUES ('bob', 100)").await;
    let (runs, both) = (Runs::default(), Barrier::new(2));
    let take = async |account: &str| {
        let tried = Runs::default();
        let builder = stage.idem.build_transaction(&stage.pool).isolation(Isolation::Serializable);
        let taken = builder.run(async |mut tx| {
            runs.next();
            let operation = stage.idem.in_transaction(&mut tx).operation("take").key(account);
            let body = async |tx: &mut sqlx::PgConnection| {
                let both_have = "SELECT sum(balance)::bigint FROM accounts".to_owned();
                let has_enough = Postgres::number(tx, both_have).await? >= 100;
                if has_enough {
                    let sql = format!(
                        "UPDATE accounts SET balance = balance - 100 WHERE name = '{account}'"
                    );
                    Postgres::run(tx, sql).await?;
                }
                if tried.next() == 1 {
                    both.wait().await;
                }
                Ok::<_, Failed>(has_enough)
            };
            operation.run(body).await
        });
        in_time(taken).await.unwrap()
    };
    let (alice, bob) = tokio::join!(take("alice"), take("bob"));
    assert!(alice != bob, "one of them has taken the last");
    assert!(runs.count() >= 3);
    assert_eq!(stage.number("SELECT sum(balance)::bigint FROM accounts").await, 0);
}

/// What was asked for is what the database does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_level_is_that_of_this_transaction_and_no_other() {
    let stage = Stage::<Postgres>::new().await;
    let levels = [
        (Isolation::ReadCommitted, "read committed"),
        (Isolation::RepeatableRead, "repeatable read"),
        (Isolation::Serializable, "serializable"),
    ];
    for (level, name) in levels {
        let builder = stage.idem.build_transaction(&stage.pool).isolation(level);
        let told = builder.run(async |mut tx| {
            let told = sqlx::query_scalar("SHOW transaction_isolation").fetch_one(&mut **tx);
            Ok::<String, Failed>(told.await?)
        });
        assert_eq!(told.await.unwrap(), name);
    }

    let stage = Stage::<MySql>::new().await;
    let pool = sqlx::mysql::MySqlPoolOptions::new().max_connections(1);
    let pool = pool.connect(&stage.url).await.unwrap();
    let levels = [
        (Some(Isolation::ReadCommitted), "READ COMMITTED"),
        (Some(Isolation::RepeatableRead), "REPEATABLE READ"),
        (Some(Isolation::Serializable), "SERIALIZABLE"),
        // The session's own is as it was.
        (None, "REPEATABLE READ"),
    ];
    for (level, name) in levels {
        let mut builder = stage.idem.build_transaction(&pool);
        if let Some(level) = level {
            builder = builder.isolation(level);
        }
        let told = builder.run(async |mut tx| {
            deposit::<MySql>(&mut tx, 1).await?;
            // What the table shows may be a tenth of a second old.
            tokio::time::sleep(Duration::from_millis(250)).await;
            let told = "SELECT CONVERT(trx_isolation_level USING utf8mb4) FROM information_schema.innodb_trx \
                        WHERE trx_mysql_thread_id = CONNECTION_ID()";
            Ok::<String, Failed>(sqlx::query_scalar(told).fetch_one(&mut **tx).await?)
        });
        assert_eq!(told.await.unwrap(), name);
    }
}

/// A transaction that has read before others wrote could not write any more. One that says at once that it will, does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_body_that_reads_first_has_its_turn_from_the_beginning() {
    let stage = Stage::<Sqlite>::new().await;
    let (_pool, idem) = stage.elsewhere().await;
    let runs = Runs::default();
    let paid = stage.idem.transaction(&stage.pool, async |mut tx| {
        runs.next();
        let seen = "SELECT count(*) FROM accounts".to_owned();
        Sqlite::number(inside(&mut tx), seen).await?;
        // Another writer has to wait.
        let other = idem.operation("other").key("2").run(async { Ok::<i64, Failed>(1) });
        let other = tokio::time::timeout(Duration::from_millis(100), other).await;
        assert!(other.is_err(), "it did not wait");
        deposit_once::<Sqlite>(&stage.idem, &mut tx, "1").await
    });
    assert_eq!(in_time(paid).await.unwrap(), 100);
    assert_eq!((runs.count(), stage.balance().await), (1, 100));
}
