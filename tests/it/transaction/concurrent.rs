//! Several transactions at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use idem_runtime::{Error, ErrorKind, Idempotency, Outcome};
use sqlx::pool::PoolConnection;
use sqlx::{Connection, MySql, Pool, Postgres, Sqlite};
use testkit::proxy::{FaultProxy, Loss};
use tokio::sync::Barrier;
use tokio::task::JoinHandle;

use super::stage::{Db, Failed, Stage, Tx, deposit, on_every_database};
use crate::outbox::stage::{Db as _, inside};
use crate::stage::{Gate, in_time, until};

/// Far longer than it takes to be told something, and shorter than anybody waits for a lock.
const AT_ONCE: Duration = Duration::from_secs(4);

/// A transaction that holds the key until it is told to end.
async fn holding<'t, DB: Db>(stage: &Stage<DB>, key: &str) -> Tx<'t, DB> {
    let mut tx = stage.begin().await;
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key(key);
    operation.run(async |tx| Ok::<_, Failed>(deposit::<DB>(tx, 100).await?)).await.unwrap();
    tx
}

/// A call with the key in another transaction, which is committed where it has a result.
async fn call<DB: Db>(
    elsewhere: (Pool<DB>, Idempotency),
    key: &str,
    wait: Duration,
) -> Result<Outcome<i64>, Error> {
    call_telling(&Gate::default(), elsewhere, key, wait).await
}

/// The same in a task; when this returns its transaction has begun and its claim is under way.
async fn begin_call<DB: Db>(
    elsewhere: (Pool<DB>, Idempotency),
    key: &'static str,
    wait: Duration,
) -> JoinHandle<Result<Outcome<i64>, Error>> {
    let gate = Gate::default();
    let waiting = tokio::spawn({
        let gate = gate.clone();
        async move { call_telling(&gate, elsewhere, key, wait).await }
    });
    gate.begun().await;
    waiting
}

async fn call_telling<DB: Db>(
    gate: &Gate,
    (pool, idem): (Pool<DB>, Idempotency),
    key: &str,
    wait: Duration,
) -> Result<Outcome<i64>, Error> {
    let mut tx = pool.begin().await.unwrap();
    let operation = idem.in_transaction(&mut tx).operation("deposit").key(key).wait(wait);
    let outcome = gate.waits(operation.run_with_outcome(async |_| Ok::<_, Error>(0))).await?;
    idem.commit(tx).await?;
    Ok(outcome)
}

async fn a_second_transaction_is_told_at_once<DB: Db>(stage: Stage<DB>) {
    let first = holding(&stage, "1").await;
    let began = Instant::now();
    let error = call(stage.elsewhere().await, "1", Duration::ZERO).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyProcessing);
    assert!(error.is_retryable() && error.retry_after().is_some());
    // Another key is nobody else's business, and neither is the same one in another namespace.
    let other = call(stage.elsewhere().await, "2", Duration::ZERO).await.unwrap();
    assert!(!other.is_replayed());
    assert!(began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    stage.idem.commit(first).await.unwrap();
    let outcome = call(stage.elsewhere().await, "1", Duration::ZERO).await.unwrap();
    assert_eq!((outcome.value, outcome.is_replayed()), (100, true));
}

async fn a_transaction_that_waits_gets_the_result_once_it_is_committed<DB: Db>(stage: Stage<DB>) {
    let first = holding(&stage, "1").await;
    let waiting = begin_call(stage.elsewhere().await, "1", crate::stage::PATIENCE).await;
    assert!(!waiting.is_finished());
    stage.idem.commit(first).await.unwrap();
    let outcome = in_time(waiting).await.unwrap().unwrap();
    assert_eq!((outcome.value, outcome.is_replayed()), (100, true));
}

async fn a_transaction_that_waits_runs_once_the_first_is_rolled_back<DB: Db>(stage: Stage<DB>) {
    let first = holding(&stage, "1").await;
    let waiting = begin_call(stage.elsewhere().await, "1", crate::stage::PATIENCE).await;
    first.rollback().await.unwrap();
    assert!(!in_time(waiting).await.unwrap().unwrap().is_replayed());
}

async fn a_wait_ends_when_it_is_over<DB: Db>(stage: Stage<DB>) {
    let first = holding(&stage, "1").await;
    let wait = Duration::from_millis(300);
    let began = Instant::now();
    let error = in_time(call(stage.elsewhere().await, "1", wait)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyProcessing);
    assert!(began.elapsed() >= wait && began.elapsed() < AT_ONCE, "{:?}", began.elapsed());
    drop(first);
}

/// On the databases where transactions do not have to take turns.
macro_rules! on_every_server {
    ($($name:ident),* $(,)?) => {
        mod with_a_server {
            $(mod $name {
                use crate::transaction::stage::Stage;

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_postgres() {
                    super::super::$name::<sqlx::Postgres>(Stage::new().await).await;
                }

                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn on_mysql() {
                    super::super::$name::<sqlx::MySql>(Stage::new().await).await;
                }
            })*
        }
    };
}

on_every_server!(
    a_second_transaction_is_told_at_once,
    a_transaction_that_waits_gets_the_result_once_it_is_committed,
    a_transaction_that_waits_runs_once_the_first_is_rolled_back,
    a_wait_ends_when_it_is_over,
);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite_a_second_transaction_waits_for_its_turn_and_replays() {
    let stage = Stage::<Sqlite>::new().await;
    let elsewhere = stage.elsewhere().await;
    let first = holding(&stage, "1").await;
    let second = begin_call(elsewhere, "1", Duration::ZERO).await;
    assert!(!second.is_finished());
    stage.idem.commit(first).await.unwrap();
    let outcome = in_time(second).await.unwrap().unwrap();
    assert_eq!((outcome.value, outcome.is_replayed()), (100, true));
}

/// How a test begins a transaction of some isolation.
trait Isolation: Db {
    const LEVELS: &'static [&'static str];

    fn begin<'c>(
        connection: &'c mut PoolConnection<Self>,
        level: &str,
    ) -> impl Future<Output = Tx<'c, Self>> + Send;
}

impl Isolation for Postgres {
    const LEVELS: &'static [&'static str] = &["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

    async fn begin<'c>(connection: &'c mut PoolConnection<Self>, level: &str) -> Tx<'c, Self> {
        let mut tx = connection.begin().await.unwrap();
        let set = format!("SET TRANSACTION ISOLATION LEVEL {level}");
        Self::run(inside(&mut tx), set).await.unwrap();
        tx
    }
}

impl Isolation for MySql {
    const LEVELS: &'static [&'static str] = &["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"];

    async fn begin<'c>(connection: &'c mut PoolConnection<Self>, level: &str) -> Tx<'c, Self> {
        let set = format!("SET SESSION TRANSACTION ISOLATION LEVEL {level}");
        Self::run(connection, set).await.unwrap();
        connection.begin().await.unwrap()
    }
}

impl Isolation for Sqlite {
    const LEVELS: &'static [&'static str] = &["DEFERRED", "IMMEDIATE"];

    async fn begin<'c>(connection: &'c mut PoolConnection<Self>, level: &str) -> Tx<'c, Self> {
        let begin = sqlx::AssertSqlSafe(format!("BEGIN {level}"));
        connection.begin_with(begin).await.unwrap()
    }
}

/// Sixteen workers make the same calls, each many times, until each of them has had a result for each.
async fn under_every_isolation_each_call_happens_once<DB: Isolation>(stage: Stage<DB>) {
    const CALLS: usize = 6;
    const WORKERS: usize = 16;

    for (round, level) in DB::LEVELS.iter().enumerate() {
        let ran = Arc::new(AtomicUsize::new(0));
        let together = Arc::new(Barrier::new(WORKERS));
        let workers: Vec<_> = (0..WORKERS)
            .map(|worker| {
                let (pool, idem) = (stage.pool.clone(), stage.idem.clone());
                let (ran, together) = (Arc::clone(&ran), Arc::clone(&together));
                tokio::spawn(async move {
                    together.wait().await;
                    for call in 0..CALLS {
                        // Each begins with another one.
                        let key = format!("{level}:{}", (call + worker) % CALLS);
                        insist::<DB>(&pool, &idem, level, &key, &ran).await;
                    }
                })
            })
            .collect();
        for worker in workers {
            in_time(worker).await.unwrap();
        }
        let expected = i64::try_from((round + 1) * CALLS).unwrap();
        assert_eq!(stage.balance().await, expected, "{level}");
        assert_eq!(stage.records().await, expected, "{level}");
        assert!(ran.load(Ordering::SeqCst) >= CALLS);
    }
}

/// Calls until there is a result, as long as the errors say that it is worth it.
async fn insist<DB: Isolation>(
    pool: &Pool<DB>,
    idem: &Idempotency,
    level: &str,
    key: &str,
    ran: &AtomicUsize,
) {
    loop {
        let attempt = async {
            let mut connection = pool.acquire().await?;
            let mut tx = DB::begin(&mut connection, level).await;
            let operation = idem.in_transaction(&mut tx).operation("deposit").key(key);
            let body = async |tx: &mut DB::Connection| {
                ran.fetch_add(1, Ordering::SeqCst);
                Ok::<_, Failed>(deposit::<DB>(tx, 1).await?)
            };
            operation.run(body).await?;
            idem.commit(tx).await?;
            Ok::<_, Failed>(())
        };
        match attempt.await {
            Ok(()) => return,
            Err(Failed::Idempotency(error)) => assert!(error.is_retryable(), "{error:?}"),
            // The test's own statements, which lost against those of another worker.
            Err(Failed::Database(error)) => assert!(is_passing(&error), "{error:?}"),
            Err(Failed::Declined) => panic!("nothing was declined"),
        }
        tokio::time::sleep(Duration::from_millis(fastrand::u64(1..10))).await;
    }
}

fn is_passing(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| ["40001", "40P01", "HY000", "5", "517"].contains(&&*code))
}

on_every_database!(
    a_call_outside_of_transactions_on_a_key_that_one_holds_ends_within_the_budget,
    under_every_isolation_each_call_happens_once,
);

/// A transaction that has looked at the table before another one's commit.
async fn looked_before<DB: Isolation>(stage: &Stage<DB>, level: &str) -> Result<i64, Error> {
    let mut connection = stage.pool.acquire().await.unwrap();
    let mut old = DB::begin(&mut connection, level).await;
    DB::number(inside(&mut old), "SELECT count(*) FROM idempotency_records".to_owned())
        .await
        .unwrap();
    let first = holding(stage, "1").await;
    stage.idem.commit(first).await.unwrap();
    let operation = stage.idem.in_transaction(&mut old).operation("deposit").key("1");
    operation.run(async |_| Ok::<i64, Error>(0)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_postgres_transaction_that_is_too_old_to_see_a_record_runs_nothing() {
    let stage = Stage::<Postgres>::new().await;
    for level in ["REPEATABLE READ", "SERIALIZABLE"] {
        let stage = Stage::<Postgres>::new().await;
        let error = looked_before(&stage, level).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
        assert!(error.is_retryable());
    }
    assert_eq!(looked_before(&stage, "READ COMMITTED").await.unwrap(), 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mysql_transaction_that_is_too_old_to_see_a_record_replays_it_all_the_same() {
    for level in ["READ COMMITTED", "REPEATABLE READ"] {
        let stage = Stage::<MySql>::new().await;
        assert_eq!(looked_before(&stage, level).await.unwrap(), 100, "{level}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_sqlite_transaction_that_is_too_old_to_see_a_record_runs_nothing() {
    let stage = Stage::<Sqlite>::new().await;
    let error = looked_before(&stage, "DEFERRED").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.is_retryable());
}

/// What a machine that is busy adds to a limit.
const SLACK: Duration = Duration::from_secs(5);

/// It used to wait for as long as the other transaction was open, or as the server's own limit said.
async fn a_call_outside_of_transactions_on_a_key_that_one_holds_ends_within_the_budget<DB: Db>(
    stage: Stage<DB>,
) {
    let (_pool, idem) = stage.elsewhere().await;
    let first = holding(&stage, "1").await;
    let began = Instant::now();
    let outside = idem.operation("deposit").key("1").run(async { Ok::<i64, Error>(0) });
    let error = in_time(outside).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3) + SLACK, "{:?}", began.elapsed());
    stage.idem.commit(first).await.unwrap();
    until("nothing is under way", || idem.in_flight() == 0).await;
    let outcome = call(stage.elsewhere().await, "1", crate::stage::PATIENCE).await.unwrap();
    assert_eq!((outcome.value, outcome.is_replayed()), (100, true));
}

async fn a_database_that_hangs_is_reported_within_the_budget<DB: Db>() {
    let stage = Stage::<DB>::new().await;
    let server = stage.url.split(['@', '/']).find(|part| part.contains("127.0.0.1:")).unwrap();
    let proxy = FaultProxy::start(server);
    let pool = crate::outbox::stage::pool::<DB>(&proxy.before(&stage.url)).await;
    let mut tx = pool.begin().await.unwrap();
    proxy.drop_requests(Loss::next(usize::MAX).hanging());
    let began = Instant::now();
    let operation = stage.idem.in_transaction(&mut tx).operation("deposit").key("1");
    let error = in_time(operation.run(async |_| Ok::<i64, Error>(0))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error}");
    assert!(error.is_retryable(), "{error}");
    assert!(error.to_string().contains("did not answer within 3s"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(3) + SLACK, "{:?}", began.elapsed());
    proxy.cut();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_that_hangs_is_reported_within_the_budget() {
    a_database_that_hangs_is_reported_within_the_budget::<Postgres>().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mysql_that_hangs_is_reported_within_the_budget() {
    a_database_that_hangs_is_reported_within_the_budget::<MySql>().await;
}
