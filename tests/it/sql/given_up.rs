//! Calls that are given up at any moment, and pools that have no connection to spare.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::storage::{MySqlStorage, PostgresStorage, SharedStorage, SqliteStorage};
use idem_runtime::{Error, ErrorKind, Idempotency};
use parking_lot::Mutex;
use sqlx::mysql::MySqlPoolOptions;
use sqlx::postgres::PgPoolOptions;
use sqlx::sqlite::SqlitePoolOptions;
use sqlx::{MySqlPool, PgPool, SqlitePool};
use tokio::task::JoinSet;

use super::own::{Database, Kind, on_every_database};
use crate::stage::{PATIENCE, in_time, until};

on_every_database!(
    a_thousand_calls_that_are_given_up_leave_nothing_open_and_lose_nothing,
    a_thousand_begins_that_are_given_up_swallow_no_record,
    one_connection_serves_the_storage_and_its_bodies,
    a_pool_that_is_used_up_is_an_error_to_call_again_after,
);

/// How often the body of each key has come to its end.
type Ended = Arc<Mutex<HashMap<String, usize>>>;

/// A body that is not done at once.
async fn body(key: String, ended: Ended) -> Result<String, Error> {
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..2_000))).await;
    *ended.lock().entry(key.clone()).or_default() += 1;
    Ok(key)
}

async fn a_thousand_calls_that_are_given_up_leave_nothing_open_and_lose_nothing(kind: Kind) {
    const CALLS: usize = 1_000;
    let database = Database::migrated(kind).await;
    let idem = database.handle().await;
    let ended = Ended::default();
    let key = |number: usize| format!("given-up-{number}");
    let mut calls = JoinSet::new();
    for number in 0..CALLS {
        if calls.len() == 50 {
            calls.join_next().await.unwrap().unwrap();
        }
        let call = idem.operation("charge").key(key(number)).call(body(key(number), ended.clone()));
        calls.spawn(async move {
            let patience = Duration::from_micros(fastrand::u64(..12_000));
            let _ = tokio::time::timeout(patience, call).await;
        });
    }
    calls.join_all().await;
    until("what was given up has been settled", || idem.in_flight() == 0).await;
    // Others find every key settled or free. What had come to its end is not run again.
    let other = database.handle().await;
    for number in 0..CALLS {
        let call = other.operation("charge").key(key(number)).wait(PATIENCE);
        let value = in_time(call.call(body(key(number), ended.clone()))).await.unwrap();
        assert_eq!(value, key(number));
    }
    let ended = ended.lock().clone();
    assert_eq!(ended.len(), CALLS);
    assert!(ended.values().all(|times| *times == 1), "{ended:?}");
    assert_eq!(database.rows().await, i64::try_from(CALLS).unwrap());
    nothing_is_open(&database).await;
}

/// A `begin` that is given up may leave its connection inside a transaction (sqlx 0.9.0). The pool is the application's, so that it does so to
/// us as well.
async fn a_thousand_begins_that_are_given_up_swallow_no_record(kind: Kind) {
    let database = Database::migrated(kind).await;
    let pool = One::connect(&database, PATIENCE).await;
    let (idem, other) = (pool.handle(), database.handle().await);
    let ended = Ended::default();
    for number in 0..1_000 {
        let key = format!("begun-{number}");
        let call = |idem: &Idempotency| {
            in_time(
                idem.operation("charge").key(key.as_str()).run(body(key.clone(), ended.clone())),
            )
        };
        pool.give_up_beginning(Duration::from_micros(fastrand::u64(..600))).await;
        assert!(!call(&idem).await.unwrap().is_replayed());
        assert!(call(&other).await.unwrap().is_replayed(), "{key} is recorded nowhere");
    }
    nothing_is_open(&database).await;
}

/// No session of the database is inside a transaction, or will be.
async fn nothing_is_open(database: &Database) {
    let open = match database.kind {
        Kind::Postgres => {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'"
        }
        Kind::MySql => {
            "SELECT count(*) FROM information_schema.innodb_trx AS t
             JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id WHERE p.db = DATABASE()"
        }
        Kind::Sqlite => {
            let pool = SqlitePool::connect(&database.url).await.unwrap();
            // It empties the file of the log only where nobody reads or writes.
            let (busy, _, _): (i64, i64, i64) = sqlx::query_as("PRAGMA wal_checkpoint(TRUNCATE)")
                .fetch_one(&pool)
                .await
                .unwrap();
            assert_eq!(busy, 0, "somebody is inside a transaction");
            return;
        }
    };
    let closed = async {
        while database.run(open).await != "0" {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    in_time(closed).await;
}

/// A pool of one connection, of whichever kind.
#[derive(Clone)]
enum One {
    Postgres(PgPool),
    MySql(MySqlPool),
    Sqlite(SqlitePool),
}

impl One {
    async fn connect(Database { kind, url, .. }: &Database, patience: Duration) -> Self {
        macro_rules! one {
            ($options:ty) => {{
                let options = <$options>::new().max_connections(1).acquire_timeout(patience);
                let pool = options.connect_lazy(url).unwrap();
                // On a busy machine a login may take longer than callers have patience.
                in_time(async { while pool.acquire().await.is_err() {} }).await;
                pool
            }};
        }
        match kind {
            Kind::Postgres => Self::Postgres(one!(PgPoolOptions)),
            Kind::MySql => Self::MySql(one!(MySqlPoolOptions)),
            Kind::Sqlite => Self::Sqlite(one!(SqlitePoolOptions)),
        }
    }

    fn handle(&self) -> Idempotency {
        let storage = match self.clone() {
            Self::Postgres(pool) => SharedStorage::new(PostgresStorage::new(pool)),
            Self::MySql(pool) => SharedStorage::new(MySqlStorage::new(pool)),
            Self::Sqlite(pool) => SharedStorage::new(SqliteStorage::new(pool)),
        };
        Idempotency::new(storage).unwrap()
    }

    /// Begins a transaction, and gives it up where it has not begun by then.
    async fn give_up_beginning(&self, after: Duration) {
        macro_rules! give_up {
            ($pool:ident) => {
                drop(tokio::time::timeout(after, $pool.begin()).await)
            };
        }
        match self {
            Self::Postgres(pool) => give_up!(pool),
            Self::MySql(pool) => give_up!(pool),
            Self::Sqlite(pool) => give_up!(pool),
        }
    }

    /// Takes the connection for as long as `holding` takes.
    async fn hold<T>(&self, holding: impl Future<Output = T>) -> T {
        macro_rules! hold {
            ($pool:ident) => {{
                let mut connection = $pool.acquire().await.unwrap();
                sqlx::raw_sql("SELECT 1").execute(&mut *connection).await.unwrap();
                let held = holding.await;
                drop(connection);
                held
            }};
        }
        match self {
            Self::Postgres(pool) => hold!(pool),
            Self::MySql(pool) => hold!(pool),
            Self::Sqlite(pool) => hold!(pool),
        }
    }
}

async fn one_connection_serves_the_storage_and_its_bodies(kind: Kind) {
    let database = Database::migrated(kind).await;
    let pool = One::connect(&database, PATIENCE).await;
    let idem = pool.handle();
    let mut calls = JoinSet::new();
    for number in 0..200_usize {
        let (idem, pool) = (idem.clone(), pool.clone());
        calls.spawn(async move {
            let body = async { Ok::<_, Error>(pool.hold(async { number % 50 }).await) };
            // Each key comes four times.
            let call = idem.operation("charge").key((number % 50).to_string()).wait(PATIENCE);
            in_time(call.call(body)).await.unwrap() == number % 50
        });
    }
    assert!(calls.join_all().await.into_iter().all(|right| right));
    assert_eq!(database.rows().await, 50);
}

async fn a_pool_that_is_used_up_is_an_error_to_call_again_after(kind: Kind) {
    let database = Database::migrated(kind).await;
    let pool = One::connect(&database, Duration::from_secs(3)).await;
    let idem = pool.handle();
    let call = || idem.operation("charge").key("k").call(async { Ok::<_, Error>(7) });
    let error = pool.hold(in_time(call())).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage, "{error:?}");
    assert!(error.is_retryable() && error.to_string().contains("no connection"), "{error}");
    until("nothing is under way", || idem.in_flight() == 0).await;
    assert_eq!(in_time(call()).await.unwrap(), 7);
}
