//! Transactions that are over before their commit, and commits that the database refuses.

use std::time::Duration;

use idem_runtime::storage::{MySqlStorage, SharedStorage};
use idem_runtime::{ErrorKind, Idempotency};
use sqlx::mysql::MySqlPoolOptions;
use sqlx::pool::PoolOptions;
use sqlx::{MySql, MySqlPool, Sqlite};
use testkit::sql::{Product, SqlServer};

use super::commit::deadlocked;
use super::stage::{Db, Failed, Stage, Tx, deposit, on_every_database};
use crate::outbox::stage::{Db as _, begin, inside};
use crate::stage::in_time;

on_every_database!(
    a_transaction_that_the_application_has_committed_itself_is_not_said_to_be_rolled_back,
    a_transaction_without_a_call_is_committed,
    a_transaction_inside_of_another_is_committed_with_it,
);

async fn deposited<DB: Db>(idem: &Idempotency, tx: &mut Tx<'_, DB>, key: &str, stores: bool) {
    let operation = idem.in_transaction(tx).operation("deposit").key(key);
    let operation = operation.store_if(move |_: &i64| stores);
    let balance = operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await;
    balance.unwrap();
}

async fn a_transaction_that_the_application_has_committed_itself_is_not_said_to_be_rolled_back<
    DB: Db,
>(
    stage: Stage<DB>,
) {
    for (number, stores) in [(1, true), (2, false)] {
        let mut tx = stage.begin().await;
        deposited(&stage.idem, &mut tx, &number.to_string(), stores).await;
        DB::run(inside(&mut tx), "COMMIT".to_owned()).await.unwrap();
        let error = stage.idem.commit(tx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
        assert_eq!(stage.balance().await, 100 * number);
    }
}

async fn a_transaction_without_a_call_is_committed<DB: Db>(stage: Stage<DB>) {
    let mut tx = stage.begin().await;
    deposit::<DB>(&mut tx, 7).await.unwrap();
    stage.idem.commit(tx).await.unwrap();
    assert_eq!(stage.balance().await, 7);
    let tx = stage.begin().await;
    stage.idem.commit(tx).await.unwrap();
}

async fn a_transaction_inside_of_another_is_committed_with_it<DB: Db>(stage: Stage<DB>) {
    let mut tx = stage.begin().await;
    deposited(&stage.idem, &mut tx, "1", true).await;
    for call in [false, true] {
        let mut nested = begin::<DB>(inside(&mut tx)).await;
        deposit::<DB>(&mut nested, 7).await.unwrap();
        if call {
            deposited(&stage.idem, &mut nested, "2", true).await;
        }
        stage.idem.commit(nested).await.unwrap();
    }
    let nested = begin::<DB>(inside(&mut tx)).await;
    nested.rollback().await.unwrap();
    stage.idem.commit(tx).await.unwrap();
    assert_eq!((stage.balance().await, stage.records().await), (214, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_statement_that_commits_by_itself_leaves_a_part_of_the_transaction() {
    let stage = Stage::<MySql>::new().await;
    for (number, stores) in [(1, true), (2, false)] {
        let mut tx = stage.begin().await;
        deposited(&stage.idem, &mut tx, &number.to_string(), stores).await;
        let table = format!("CREATE TABLE t{number} (id INTEGER)");
        MySql::run(inside(&mut tx), table).await.unwrap();
        let error = stage.idem.commit(tx).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
        assert_eq!(stage.balance().await, 100 * number);
    }
}

/// The session remembers calls for longer than its transactions last, which says nothing of a later one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_transaction_that_has_ended_is_not_judged_by_an_earlier_one() {
    let stage = Stage::<MySql>::new().await;
    let mut connection = stage.pool.acquire().await.unwrap();
    let mut tx = begin::<MySql>(&mut connection).await;
    deposited(&stage.idem, &mut tx, "rolled back", true).await;
    tx.rollback().await.unwrap();
    let mut tx = begin::<MySql>(&mut connection).await;
    for statement in ["UPDATE accounts SET balance = balance + 7", "CREATE TABLE t (id INTEGER)"] {
        MySql::run(inside(&mut tx), statement.to_owned()).await.unwrap();
    }
    let error = stage.idem.commit(tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    drop(connection);
    assert_eq!(stage.balance().await, 7);
}

/// A deadlock ends the transaction, the application goes on all the same, and what it does then is committed at once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_after_a_mysql_deadlock_is_not_said_to_be_rolled_back() {
    let stage = Stage::<MySql>::new().await;
    let (mut lost, won) = deadlocked(&stage).await;
    stage.idem.commit(won).await.unwrap();
    let update = "UPDATE accounts SET balance = balance + 1 WHERE name = 'bob'".to_owned();
    MySql::run(inside(&mut lost), update).await.unwrap();
    let error = stage.idem.commit(lost).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    assert_eq!(stage.number("SELECT sum(balance) DIV 1 FROM accounts").await, 3);
}

/// sqlx goes on as if there were a transaction, and each statement after that commits by itself.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_transaction_that_a_statement_rolled_back_is_not_said_to_be_committed() {
    let stage = Stage::<Sqlite>::new().await;
    let mut tx = stage.begin().await;
    deposit::<Sqlite>(&mut tx, 1).await.unwrap();
    let conflict = "INSERT OR ROLLBACK INTO accounts VALUES ('alice', 0)".to_owned();
    Sqlite::run(inside(&mut tx), conflict).await.unwrap_err();
    deposited(&stage.idem, &mut tx, "1", true).await;
    let error = stage.idem.commit(tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
    // The connection is as good as before.
    let mut tx = stage.begin().await;
    deposited(&stage.idem, &mut tx, "2", true).await;
    stage.idem.commit(tx).await.unwrap();
    assert_eq!((stage.balance().await, stage.records().await), (200, 2));
}

/// One that sqlx takes for a connection inside a transaction would make savepoints of the transactions that follow, and keep others out.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_connection_is_as_good_as_before_where_a_commit_found_its_transaction_ended() {
    let stage = Stage::<Sqlite>::new().await;
    let pool = PoolOptions::<Sqlite>::new().max_connections(1).connect(&stage.url).await.unwrap();
    let mut tx = pool.begin().await.unwrap();
    let conflict = "INSERT OR ROLLBACK INTO accounts VALUES ('alice', 0)".to_owned();
    Sqlite::run(inside(&mut tx), conflict).await.unwrap_err();
    let error = stage.idem.commit(tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await.unwrap();
    deposited(&stage.idem, &mut tx, "1", true).await;
    stage.idem.commit(tx).await.unwrap();
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
}

/// Where readers and the writer wait for each other, a commit may find the file locked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sqlite_commit_that_finds_the_file_locked_is_rolled_back_and_may_be_tried_again() {
    let stage = Stage::<Sqlite>::without_wal().await;
    let mut reader = stage.pool.acquire().await.unwrap();
    let read = "BEGIN; SELECT * FROM accounts".to_owned();
    Sqlite::run(&mut reader, read).await.unwrap();
    let mut tx = stage.begin().await;
    Sqlite::run(inside(&mut tx), "PRAGMA busy_timeout = 50".to_owned()).await.unwrap();
    deposited(&stage.idem, &mut tx, "1", true).await;
    let error = in_time(stage.idem.commit(tx)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.is_retryable(), "{error:?}");
    Sqlite::run(&mut reader, "COMMIT".to_owned()).await.unwrap();
    assert_eq!((stage.balance().await, stage.records().await), (0, 0));
    let mut tx = stage.begin().await;
    deposited(&stage.idem, &mut tx, "1", true).await;
    stage.idem.commit(tx).await.unwrap();
    assert_eq!((stage.balance().await, stage.records().await), (100, 1));
}

/// A server that says it is a MySQL gets the statements of one, which set how long the session waits for a lock.
struct Impatient {
    _server: SqlServer,
    idem: Idempotency,
    holders: MySqlPool,
    /// One connection, whose session is looked at.
    pool: MySqlPool,
}

impl Impatient {
    async fn new() -> Self {
        let server = SqlServer::builder(Product::MySql).without_fsync();
        let server = server.setting("version", "8.0.99-says-so").start();
        let holders = MySqlPool::connect(&server.url()).await.unwrap();
        let own_wait = "SET SESSION innodb_lock_wait_timeout = 37";
        let pool =
            MySqlPoolOptions::new().max_connections(1).after_connect(move |connection, _| {
                Box::pin(async move { sqlx::raw_sql(own_wait).execute(connection).await.map(drop) })
            });
        let pool = pool.connect(&server.url()).await.unwrap();
        let storage = MySqlStorage::new(holders.clone());
        storage.migrate().await.unwrap();
        let idem = Idempotency::new(SharedStorage::new(storage)).unwrap();
        Self { _server: server, idem, holders, pool }
    }

    /// How long the session waits for a lock, and whether anything is kept in it.
    async fn session(&self) -> (i64, i64) {
        let mut connection = self.pool.acquire().await.unwrap();
        let ask = async |sql: &str, on: &mut _| MySql::number(on, sql.to_owned()).await.unwrap();
        let wait =
            ask("SELECT CAST(@@SESSION.innodb_lock_wait_timeout AS SIGNED)", &mut connection).await;
        (wait, ask("SELECT @idempotency_wait IS NOT NULL", &mut connection).await)
    }

    /// A call that is given up while it waits for another transaction.
    async fn give_one_up(&self) {
        let mut holder = self.holders.begin().await.unwrap();
        call(&self.idem, &mut holder, "held").await.unwrap();
        let mut tx = self.pool.begin().await.unwrap();
        let given_up = Duration::from_millis(300);
        let called = tokio::time::timeout(given_up, call(&self.idem, &mut tx, "held")).await;
        assert!(called.is_err(), "{called:?}");
        // What it hears first is that the statement did not get its lock. It is rolled back when it is dropped.
        let _ = tx.rollback().await;
        holder.rollback().await.unwrap();
    }
}

async fn call(
    idem: &Idempotency,
    tx: &mut Tx<'_, MySql>,
    key: &str,
) -> Result<i64, idem_runtime::Error> {
    let operation = idem.in_transaction(tx).operation("wait").key(key);
    operation.run(async |_| Ok::<_, idem_runtime::Error>(1)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_session_gets_its_own_lock_timeout_back() {
    let stage = Impatient::new().await;
    let own = (37, 0);
    // After a call, and after one that finds the key held.
    let mut holder = stage.holders.begin().await.unwrap();
    call(&stage.idem, &mut holder, "held").await.unwrap();
    let mut tx = stage.pool.begin().await.unwrap();
    call(&stage.idem, &mut tx, "1").await.unwrap();
    let held = call(&stage.idem, &mut tx, "held").await.unwrap_err();
    assert_eq!(held.kind(), ErrorKind::AlreadyProcessing, "{held:?}");
    tx.rollback().await.unwrap();
    holder.rollback().await.unwrap();
    assert_eq!(stage.session().await, own);
    // One that was given up is made good by the next call …
    stage.give_one_up().await;
    let mut tx = stage.pool.begin().await.unwrap();
    call(&stage.idem, &mut tx, "2").await.unwrap();
    tx.commit().await.unwrap();
    assert_eq!(stage.session().await, own);
    // … also by one that writes nothing, and by a commit.
    stage.give_one_up().await;
    let mut tx = stage.pool.begin().await.unwrap();
    call(&stage.idem, &mut tx, "2").await.unwrap();
    tx.rollback().await.unwrap();
    assert_eq!(stage.session().await, own);
    for _ in 0..2 {
        stage.give_one_up().await;
    }
    let tx = stage.pool.begin().await.unwrap();
    stage.idem.commit(tx).await.unwrap();
    assert_eq!(stage.session().await, own);
}
