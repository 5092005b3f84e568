//! Commits whose answer is lost, and the truth about them.

use std::time::Duration;

use idem_runtime::storage::{MySqlStorage, PostgresStorage, SharedStorage};
use idem_runtime::{Error, ErrorKind, Idempotency};
use sqlx::{MySql, Pool, Postgres};
use testkit::proxy::{FaultProxy, Loss};
use url::Url;

use super::stage::{Db, Failed, Stage, Tx, deposit};
use crate::outbox::stage::{Db as _, inside, pool};
use crate::stage::{PATIENCE, in_time, until};

/// Short, since some of these tests wait for it in vain.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

/// A database that is reached through a proxy.
struct Behind<DB: Db> {
    stage: Stage<DB>,
    proxy: FaultProxy,
    pool: Pool<DB>,
    idem: Idempotency,
}

trait Server: Db {
    /// Begins a transaction that goes on seeing what its first statement saw.
    const BEGIN: &str;

    /// What only the statement has in it that looks for the outcome.
    const LOOK: &str;

    /// What is said of a transaction without a call that was rolled back.
    const WITHOUT_A_CALL: ErrorKind;

    /// What is said of a transaction that was committed, and whose record is gone.
    const WITHOUT_ITS_RECORD: Option<ErrorKind>;

    fn impatient(pool: Pool<Self>) -> SharedStorage;
}

impl Server for Postgres {
    const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ";
    const LOOK: &str = "pg_xact_status";
    const WITHOUT_A_CALL: ErrorKind = ErrorKind::Storage;
    const WITHOUT_ITS_RECORD: Option<ErrorKind> = None;

    fn impatient(pool: Pool<Self>) -> SharedStorage {
        let storage = PostgresStorage::builder().response_timeout(RESPONSE_TIMEOUT);
        SharedStorage::new(storage.build(pool).unwrap())
    }
}

impl Server for MySql {
    const BEGIN: &str = "BEGIN";
    const LOOK: &str = "FOR UPDATE NOWAIT";
    const WITHOUT_A_CALL: ErrorKind = ErrorKind::Indeterminate;
    const WITHOUT_ITS_RECORD: Option<ErrorKind> = Some(ErrorKind::Indeterminate);

    fn impatient(pool: Pool<Self>) -> SharedStorage {
        let storage = MySqlStorage::builder().response_timeout(RESPONSE_TIMEOUT);
        SharedStorage::new(storage.build(pool).unwrap())
    }
}

impl<DB: Server> Behind<DB> {
    async fn new() -> Self {
        let stage = Stage::<DB>::new().await;
        let url = Url::parse(&stage.url).unwrap();
        let proxy = FaultProxy::start((url.host_str().unwrap(), url.port().unwrap()));
        let pool = pool::<DB>(&proxy.before(&stage.url)).await;
        let idem = Idempotency::new(DB::impatient(pool.clone())).unwrap();
        Self { stage, proxy, pool, idem }
    }

    /// A deposit whose commit meets the fault that `harm` makes.
    async fn deposit(&self, harm: impl FnOnce(&FaultProxy)) -> Result<i64, Failed> {
        self.deposit_as("1", harm).await
    }

    async fn deposit_as(&self, key: &str, harm: impl FnOnce(&FaultProxy)) -> Result<i64, Failed> {
        let mut tx = self.pool.begin().await?;
        let operation = self.idem.in_transaction(&mut tx).operation("deposit").key(key);
        let balance =
            operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await?;
        harm(&self.proxy);
        self.idem.commit(tx).await?;
        Ok(balance)
    }

    /// Ends the connections of the storage's own: from now on it has to connect when it looks for an outcome.
    async fn disconnect_the_storage(&self) {
        // What it looks at before its first claim it has looked at then.
        let mut tx = self.pool.begin().await.unwrap();
        let operation = self.idem.in_transaction(&mut tx).operation("nothing").key("nothing");
        operation.run(async |_| Ok::<_, Failed>(())).await.unwrap();
        tx.rollback().await.unwrap();
        self.proxy.cut();
    }

    async fn state(&self) -> (i64, i64) {
        (self.stage.balance().await, self.stage.records().await)
    }
}

fn commits() -> Loss {
    Loss::next(1).of_requests_with("COMMIT")
}

async fn a_commit_whose_answer_is_lost_is_found_to_be_committed<DB: Server>(behind: Behind<DB>) {
    let balance = behind.deposit_as("1", |proxy| proxy.drop_replies(commits())).await;
    assert_eq!(balance.unwrap(), 100);
    assert_eq!(behind.state().await, (100, 1));
    let hanging = |proxy: &FaultProxy| proxy.drop_replies(commits().hanging());
    assert_eq!(behind.deposit_as("2", hanging).await.unwrap(), 200);
    assert_eq!(behind.state().await, (200, 2));
    assert_eq!(behind.proxy.counts().dropped_replies, 2);
}

async fn a_commit_that_never_arrived_is_found_to_be_rolled_back<DB: Server>(behind: Behind<DB>) {
    let error = behind.deposit(|proxy| proxy.drop_requests(commits())).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.is_retryable());
    assert_eq!(behind.state().await, (0, 0));
    assert_eq!(behind.deposit(|_| {}).await.unwrap(), 100);
    assert_eq!(behind.state().await, (100, 1));
}

/// The server still has the transaction open: it may yet hear of its commit.
async fn while_the_transaction_is_open_nobody_knows<DB: Server>(behind: Behind<DB>) {
    let harm = |proxy: &FaultProxy| proxy.drop_requests(commits().hanging());
    let error = behind.deposit(harm).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    assert!(error.is_retryable());
    assert_eq!(behind.state().await, (0, 0));
}

async fn without_the_server_nobody_knows<DB: Server>(behind: Behind<DB>) {
    behind.disconnect_the_storage().await;
    let harm = |proxy: &FaultProxy| {
        proxy.drop_replies(commits());
        proxy.refuse();
    };
    let error = behind.deposit(harm).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
    behind.proxy.heal();
    // The same call again tells.
    assert_eq!(behind.deposit(|_| {}).await.unwrap(), 100);
    assert_eq!(behind.state().await, (100, 1));
}

async fn a_look_that_fails_is_not_the_last_one<DB: Server>(behind: Behind<DB>) {
    let harm = |proxy: &FaultProxy| {
        proxy.drop_replies(commits());
        proxy.drop_requests(Loss::next(1).of_requests_with(DB::LOOK));
    };
    assert_eq!(behind.deposit(harm).await.unwrap(), 100);
    assert_eq!(behind.state().await, (100, 1));
    let counts = behind.proxy.counts();
    assert_eq!((counts.dropped_replies, counts.dropped_requests), (1, 1));
}

/// A `begin` that is given up leaves a connection inside a transaction (sqlx 0.9.0), which may not see what others have committed since.
async fn the_truth_is_not_what_a_transaction_sees_that_others_left_open<DB: Server>(
    behind: Behind<DB>,
) {
    let mut tx = behind.pool.begin().await.unwrap();
    // The next connection that is used.
    let mut other = behind.pool.acquire().await.unwrap();
    let see = format!("{}; SELECT count(*) FROM idempotency_records", DB::BEGIN);
    DB::run(&mut other, see).await.unwrap();
    drop(other);
    until("it is given back", || behind.pool.num_idle() == 1).await;
    let operation = behind.idem.in_transaction(&mut tx).operation("deposit").key("1");
    operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await.unwrap();
    behind.proxy.drop_replies(commits());
    behind.idem.commit(tx).await.unwrap();
    assert_eq!(behind.state().await, (100, 1));
    // Nothing has kept a lock on the record.
    let mut elsewhere = behind.stage.pool.acquire().await.unwrap();
    let remove = "DELETE FROM idempotency_records".to_owned();
    in_time(DB::run(&mut elsewhere, remove)).await.unwrap();
}

/// The record has expired while it is looked for, and another call has the key: it is not there, though it was committed. What needs no record
/// knows all the same.
async fn a_record_that_has_expired_says_nothing_of_its_transaction<DB: Server>(behind: Behind<DB>) {
    let ttl = Duration::from_millis(100);
    let idem = Idempotency::builder(behind.idem.storage().clone()).lease(ttl).ttl(ttl);
    let idem = idem.build().unwrap();
    behind.disconnect_the_storage().await;
    let mut tx = behind.pool.begin().await.unwrap();
    let operation = idem.in_transaction(&mut tx).operation("deposit").key("1");
    operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await.unwrap();
    behind.proxy.drop_replies(commits());
    behind.proxy.refuse();
    let next = async {
        until("it is committed", || behind.proxy.counts().dropped_replies == 1).await;
        tokio::time::sleep(ttl).await;
        let mut tx = behind.stage.begin().await;
        let operation = behind.stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
        let operation = operation.wait(PATIENCE);
        let balance = operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?));
        assert_eq!(balance.await.unwrap(), 200);
        behind.stage.idem.commit(tx).await.unwrap();
        behind.proxy.heal();
    };
    let (told, ()) = tokio::join!(idem.commit(tx), next);
    let kind = told.as_ref().err().map(Error::kind);
    assert_eq!(kind, DB::WITHOUT_ITS_RECORD, "{told:?}");
}

/// What was marked by an earlier transaction on the same connection says nothing of a later one.
async fn an_earlier_call_on_the_connection_says_nothing_of_the_transaction<DB: Server>(
    behind: Behind<DB>,
) {
    let mut connection = behind.pool.acquire().await.unwrap();
    for committed_by_the_handle in [true, false] {
        let mut tx = crate::outbox::stage::begin::<DB>(&mut connection).await;
        let key = format!("{committed_by_the_handle}");
        let operation = behind.idem.in_transaction(&mut tx).operation("deposit").key(key);
        operation.run(async |_| Ok::<_, Error>(1)).await.unwrap();
        if committed_by_the_handle {
            behind.idem.commit(tx).await.unwrap();
        } else {
            tx.commit().await.unwrap();
        }
    }
    let mut tx = crate::outbox::stage::begin::<DB>(&mut connection).await;
    let update = "UPDATE accounts SET balance = 7 WHERE name = 'alice'";
    DB::run(inside(&mut tx), update.to_owned()).await.unwrap();
    behind.proxy.drop_requests(commits());
    let error = behind.idem.commit(tx).await.unwrap_err();
    assert_eq!(error.kind(), DB::WITHOUT_A_CALL, "{error:?}");
    assert_eq!(behind.stage.balance().await, 0);
}

/// A transaction that another call's record is replayed in is not committed because that one was.
async fn a_replay_is_no_part_of_a_transaction<DB: Server>(behind: Behind<DB>) {
    behind.deposit(|_| {}).await.unwrap();
    let error = behind.deposit(|proxy| proxy.drop_requests(commits())).await.unwrap_err().ours();
    assert_eq!(error.kind(), ErrorKind::Indeterminate, "{error:?}");
}

macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod with_a_server {
            $(mod $name {
                use crate::transaction::commit::{self, Behind};

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    commit::$name::<sqlx::Postgres>(Behind::new().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_mysql() {
                    commit::$name::<sqlx::MySql>(Behind::new().await).await;
                }
            })*
        }
    };
}

on_every_server!(
    a_commit_whose_answer_is_lost_is_found_to_be_committed,
    a_commit_that_never_arrived_is_found_to_be_rolled_back,
    while_the_transaction_is_open_nobody_knows,
    without_the_server_nobody_knows,
    a_look_that_fails_is_not_the_last_one,
    the_truth_is_not_what_a_transaction_sees_that_others_left_open,
    a_record_that_has_expired_says_nothing_of_its_transaction,
    an_earlier_call_on_the_connection_says_nothing_of_the_transaction,
    a_replay_is_no_part_of_a_transaction,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_transaction_in_which_a_statement_failed_is_not_said_to_be_committed() {
    let stage = Stage::<Postgres>::new().await;
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    operation.run(async |tx| Ok::<_, Failed>(deposit::<Postgres>(tx, 100).await?)).await.unwrap();
    let wrong = "INSERT INTO accounts VALUES ('alice', 0)";
    Postgres::run(inside(&mut tx), wrong.to_owned()).await.unwrap_err();
    let error = stage.idem.commit(tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert_eq!((stage.balance().await, stage.records().await), (0, 0));
}

/// Two transactions with a call in each that wait for each other's row, until the server rolls one back: the one that lost, and the one that won.
pub(super) async fn deadlocked(stage: &Stage<MySql>) -> (Tx<'static, MySql>, Tx<'static, MySql>) {
    let mut connection = stage.pool.acquire().await.unwrap();
    let bob = "INSERT INTO accounts VALUES ('bob', 0)".to_owned();
    MySql::run(&mut connection, bob).await.unwrap();
    drop(connection);
    let update = |name| format!("UPDATE accounts SET balance = balance + 1 WHERE name = '{name}'");
    let (mut first, mut second) = (stage.begin().await, stage.begin().await);
    for (tx, key, own) in [(&mut first, "1", "alice"), (&mut second, "2", "bob")] {
        let operation = stage.idem.in_transaction(tx).operation("deposit").key(key);
        let body = async |tx: &mut sqlx::MySqlConnection| {
            MySql::run(tx, update(own)).await?;
            Ok::<_, Failed>(1)
        };
        operation.run(body).await.unwrap();
    }
    let crossed = tokio::join!(
        MySql::run(inside(&mut first), update("bob")),
        MySql::run(inside(&mut second), update("alice"))
    );
    assert!(crossed.0.is_ok() != crossed.1.is_ok(), "{crossed:?}");
    if crossed.0.is_ok() { (second, first) } else { (first, second) }
}

/// The server rolls the whole transaction of one of the two back, and sqlx goes on as if there were one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_transaction_that_lost_a_deadlock_is_not_said_to_be_committed() {
    let stage = Stage::<MySql>::new().await;
    let (lost, won) = deadlocked(&stage).await;
    let error = stage.idem.commit(lost).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.is_retryable());
    stage.idem.commit(won).await.unwrap();
    assert_eq!(stage.records().await, 1);
    assert_eq!(stage.number("SELECT sum(balance) DIV 1 FROM accounts").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_that_the_database_refuses_says_whether_to_try_again() {
    let stage = Stage::<Postgres>::new().await;
    let mut connection = stage.pool.acquire().await.unwrap();
    let tables = "CREATE TABLE a (id bigint PRIMARY KEY);
                  CREATE TABLE b (a bigint REFERENCES a (id) DEFERRABLE INITIALLY DEFERRED)";
    Postgres::run(&mut connection, tables.to_owned()).await.unwrap();
    drop(connection);
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let body = async |tx: &mut sqlx::PgConnection| {
        Postgres::run(tx, "INSERT INTO b VALUES (1)".to_owned()).await?;
        Ok::<_, Failed>(1)
    };
    operation.run(body).await.unwrap();
    let error = stage.idem.commit(tx).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(!error.is_retryable());
    assert_eq!(stage.records().await, 0);
}
