//! The storage's way to its records does not depend on what bodies, callers and others hold.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use futures_util::future::{join, join_all, join3};
use idem_runtime::storage::{
    Claim, Claimed, PostgresStorage, Renew, SharedStorage, SqliteStorage, Storage, StorageErrorKind,
};
use idem_runtime::{Error, ErrorKind, Idempotency, Source};
use sqlx::{AssertSqlSafe, MySqlPool, PgPool, SqlitePool};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};

use super::app_pool::AppPool;
use super::own::{Database, Kind, on_every_database};
use super::{claim, complete, key, run_once};
use crate::stage::{KEPT, PATIENCE, in_time};

on_every_database!(
    bodies_that_hold_the_whole_pool_keep_their_leases,
    a_pool_that_is_used_up_before_the_claim_keeps_nobody_waiting,
    a_runtime_that_stands_still_keeps_no_other_one_waiting,
);

fn leased(storage: SharedStorage, lease: Duration) -> Idempotency {
    Idempotency::builder(storage).lease(lease).build().unwrap()
}

/// Two bodies hold both connections of the pool for several leases, and another process lies in wait for their keys.
async fn bodies_that_hold_the_whole_pool_keep_their_leases(kind: Kind) {
    let database = Database::migrated(kind).await;
    let pool = AppPool::connect(&database, 2).await;
    let (idem, other) = (leased(pool.storage(), KEPT), leased(database.storage().await, KEPT));
    let runs = AtomicUsize::new(0);
    let holding = ["a", "b"].map(|key| {
        let body = async {
            runs.fetch_add(1, Ordering::SeqCst);
            pool.hold(sleep(KEPT * 5)).await;
            Ok::<_, Error>(1)
        };
        in_time(idem.operation("charge").key(key).run_with_outcome(body))
    });
    let rival = async |key: &str| {
        while runs.load(Ordering::SeqCst) < 2 {
            sleep(Duration::from_millis(5)).await;
        }
        let body = async {
            runs.fetch_add(1, Ordering::SeqCst);
            Ok::<_, Error>(2)
        };
        in_time(other.operation("charge").key(key).wait(PATIENCE).run_with_outcome(body))
            .await
            .unwrap()
    };
    let (held, rivals) = join(join_all(holding), join(rival("a"), rival("b"))).await;
    for outcome in held {
        let outcome = outcome.unwrap();
        assert_eq!((outcome.value, outcome.is_replayed()), (1, false));
    }
    for outcome in [rivals.0, rivals.1] {
        assert_eq!((outcome.value, outcome.is_replayed()), (1, true));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

async fn a_pool_that_is_used_up_before_the_claim_keeps_nobody_waiting(kind: Kind) {
    let database = Database::migrated(kind).await;
    let pool = AppPool::connect(&database, 1).await;
    let storage = pool.storage();
    let taken = pool.take().await;
    let done = in_time(run_once(&storage)).await;
    assert!(storage.load(&done.key).await.unwrap().is_some());
    assert_eq!(storage.purge(10).await.unwrap(), 0);
    assert_eq!(storage.scan(None, 10).await.unwrap().records.len(), 1);
    drop(taken);
}

/// A verb is under way when its caller's runtime stops being driven: a handler computes, on a runtime of one thread.
async fn a_runtime_that_stands_still_keeps_no_other_one_waiting(kind: Kind) {
    let database = Database::migrated(kind).await;
    let storage = database.storage().await;
    let theirs = storage.clone();
    let (tell, told) = oneshot::channel();
    let stuck = thread::spawn(move || {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let claims: Vec<_> = (0..20).map(|n| claim(&key(&format!("stuck-{n}")))).collect();
        let claiming = join_all(claims.iter().map(|claim| theirs.claim(claim)));
        // Polled after the claims.
        let standing_still = async {
            tell.send(()).unwrap();
            thread::sleep(Duration::from_secs(3));
        };
        runtime.block_on(join(claiming, standing_still)).0
    });
    in_time(told).await.unwrap();
    let begun = Instant::now();
    // Of every kind.
    let done = in_time(run_once(&storage)).await;
    assert!(matches!(storage.claim(&claim(&done.key)).await, Ok(Claimed::Replay(_))));
    assert!(storage.load(&done.key).await.unwrap().is_some());
    assert!(begun.elapsed() < Duration::from_secs(2), "it took {:?}", begun.elapsed());
    for claimed in stuck.join().unwrap() {
        assert!(matches!(claimed, Ok(Claimed::Acquired { .. })), "{claimed:?}");
    }
}

/// Locks the rows of the dead in a transaction for as long as `meanwhile` takes.
async fn with_locked_row<T>(database: &Database, meanwhile: impl Future<Output = T>) -> T {
    // No gap between rows is locked, so that other keys can be inserted.
    let isolation = "SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL READ COMMITTED";
    macro_rules! locked {
        ($pool:ty, $isolation:expr, $key:literal) => {{
            let pool = <$pool>::connect(&database.url).await.unwrap();
            let mut connection = pool.acquire().await.unwrap();
            sqlx::raw_sql($isolation).execute(&mut *connection).await.unwrap();
            let mut transaction = sqlx::Connection::begin(&mut *connection).await.unwrap();
            let select = concat!(
                "SELECT owner FROM idempotency_records WHERE ",
                $key,
                " LIKE '%dead%' FOR UPDATE"
            );
            sqlx::query(select).fetch_all(&mut *transaction).await.unwrap();
            let output = meanwhile.await;
            transaction.rollback().await.unwrap();
            output
        }};
    }
    match database.kind {
        Kind::Postgres => locked!(PgPool, isolation, "key"),
        _ => {
            locked!(MySqlPool, "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED", "`key`")
        }
    }
}

/// How many sessions of the server wait for a lock in this database.
async fn waiting_for_locks(database: &Database) -> String {
    let waiting = match database.kind {
        Kind::Postgres => {
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        }
        _ => {
            "SELECT count(*) FROM information_schema.innodb_trx AS t
             JOIN information_schema.processlist AS p ON p.id = t.trx_mysql_thread_id
             WHERE p.db = DATABASE() AND t.trx_state = 'LOCK WAIT'"
        }
    };
    database.run(waiting).await
}

/// Claims of keys that an open transaction holds end on the server as well, and soon; what owners write meanwhile does not wait for them.
async fn claims_that_wait_for_locks_end_and_keep_no_owner_waiting(kind: Kind) {
    let database = Database::migrated(kind).await;
    let storage = if kind == Kind::Postgres {
        // No more connections than claims alone would take.
        let builder = PostgresStorage::builder().connections(2);
        SharedStorage::new(builder.connect(&database.url).await.unwrap())
    } else {
        database.storage().await
    };
    // Dead owners, so that a claim has to write to their rows.
    let dead: Vec<_> = (0..24).map(|n| claim(&key(&format!("dead-{n}")))).collect();
    for claim in &dead {
        let brief = Claim { lease: Duration::ZERO, ..claim.clone() };
        storage.claim(&brief).await.unwrap();
    }
    let idem = leased(storage.clone(), KEPT);
    let renewed = claim(&key("renewed"));
    assert!(is_acquired(&storage.claim(&renewed).await));
    let flooded = async {
        let has_begun = AtomicBool::new(false);
        let floods = async {
            // Claims of the others would be kept waiting as well.
            while !has_begun.load(Ordering::SeqCst) {
                sleep(Duration::from_millis(5)).await;
            }
            let until = Instant::now() + KEPT * 4;
            while Instant::now() < until {
                let rivals: Vec<_> = dead.iter().map(|dead| claim(&dead.key)).collect();
                let floods = join_all(rivals.iter().map(|rival| storage.claim(rival)));
                let _ = timeout(Duration::from_millis(300), floods).await;
            }
        };
        let body = async {
            has_begun.store(true, Ordering::SeqCst);
            let context = idem_runtime::current().unwrap();
            let is_lost = timeout(KEPT * 4, context.lease_lost()).await.is_ok();
            Ok::<_, Error>(is_lost)
        };
        let live = idem.operation("charge").key("live").run_with_outcome(body);
        let renewals = median_wait_of_renewals(&storage, &renewed);
        let ((), wait, outcome) = in_time(join3(floods, renewals, live)).await;
        // A claim waits for half a second and more, and has a connection meanwhile.
        assert!(wait < Duration::from_millis(250), "a renewal waits for claims: {wait:?}");
        let outcome = outcome.unwrap();
        assert_eq!(outcome.source, Source::Executed { recovered: false });
        assert!(!outcome.value, "the lease was lost");
        let begun = Instant::now();
        let alone = in_time(storage.claim(&claim(&dead[0].key))).await;
        assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
        match alone {
            Ok(Claimed::InProgress { .. }) => {}
            Err(error) => assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error}"),
            Ok(other) => panic!("{other:?}"),
        }
        let ended = async {
            while waiting_for_locks(&database).await != "0" {
                sleep(Duration::from_millis(50)).await;
            }
        };
        timeout(Duration::from_secs(20), ended).await.expect("a session still waits for a lock");
    };
    with_locked_row(&database, Box::pin(flooded)).await;
    in_time(async { while !is_acquired(&storage.claim(&claim(&dead[0].key)).await) {} }).await;
}

fn is_acquired(claimed: &Result<Claimed, idem_runtime::storage::StorageError>) -> bool {
    matches!(claimed, Ok(Claimed::Acquired { .. }))
}

/// How long a renewal waits for its answer, while others ask for more.
async fn median_wait_of_renewals(storage: &SharedStorage, live: &Claim) -> Duration {
    let mut waits = Vec::new();
    for _ in 0..9 {
        let begun = Instant::now();
        let renewal = Renew { key: live.key.clone(), owner: live.owner };
        storage.renew(&[renewal]).await.pop().unwrap().unwrap();
        waits.push(begun.elapsed());
        sleep(KEPT / 4).await;
    }
    waits.sort();
    waits[waits.len() / 2]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_wait_for_locks_end_on_postgres() {
    claims_that_wait_for_locks_end_and_keep_no_owner_waiting(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn claims_that_wait_for_locks_end_on_mysql() {
    claims_that_wait_for_locks_end_and_keep_no_owner_waiting(Kind::MySql).await;
}

/// A body that holds the write lock of the file for several leases runs alone: nobody can renew its lease meanwhile, and nobody takes over.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_writes_to_the_file_for_several_leases_is_not_run_again() {
    let database = Database::migrated(Kind::Sqlite).await;
    database.run("CREATE TABLE orders (n integer)").await;
    let pool = SqlitePool::connect(&database.url).await.unwrap();
    let lease = Duration::from_millis(500);
    let idem = leased(SharedStorage::new(SqliteStorage::new(pool.clone())), lease);
    let other = leased(database.storage().await, lease);
    let runs = AtomicUsize::new(0);
    for number in 0..3 {
        let key = format!("order-{number}");
        let body = async {
            runs.fetch_add(1, Ordering::SeqCst);
            let mut transaction = pool.begin().await.unwrap();
            let insert = "INSERT INTO orders VALUES (1)";
            sqlx::query(AssertSqlSafe(insert)).execute(&mut *transaction).await.unwrap();
            sleep(lease * 5).await;
            transaction.commit().await.unwrap();
            // The others have their chance.
            sleep(lease).await;
            Ok::<_, Error>(1)
        };
        let rival = async {
            while runs.load(Ordering::SeqCst) <= number {
                sleep(Duration::from_millis(5)).await;
            }
            loop {
                let body = async {
                    runs.fetch_add(1, Ordering::SeqCst);
                    Ok::<_, Error>(2)
                };
                match other.operation("charge").key(key.as_str()).run_with_outcome(body).await {
                    Ok(outcome) => break outcome,
                    Err(error) => {
                        let kinds = [ErrorKind::AlreadyProcessing, ErrorKind::Storage];
                        assert!(kinds.contains(&error.kind()), "{error:?}");
                    }
                }
                sleep(Duration::from_millis(3)).await;
            }
        };
        let run = idem.operation("charge").key(key.as_str()).run_with_outcome(body);
        let (first, second) = in_time(join(run, rival)).await;
        assert!(!first.unwrap().is_replayed());
        assert!(second.is_replayed());
        assert_eq!(runs.load(Ordering::SeqCst), number + 1);
    }
}

/// Connections that each have a database for themselves are refused, and the one that a URL names is shared.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_in_memory_is_the_application_s_own_or_refused() {
    let pool = SqlitePool::connect("sqlite::memory:").await.unwrap();
    let storage = SqliteStorage::new(pool.clone());
    storage.migrate().await.unwrap();
    let done = run_once(&storage).await;
    let rows: i64 = sqlx::query_scalar("SELECT count(*) FROM idempotency_records")
        .fetch_one(&pool)
        .await
        .unwrap();
    assert_eq!(rows, 1);
    // In the application's transaction as well.
    let mut transaction = pool.begin().await.unwrap();
    let select = "SELECT count(*) FROM idempotency_records WHERE key = ?";
    let seen: i64 = sqlx::query_scalar(select)
        .bind(done.key.as_str())
        .fetch_one(&mut *transaction)
        .await
        .unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(seen, 1);
    let private = SqlitePool::connect_with(sqlx::sqlite::SqliteConnectOptions::new()).await;
    let storage = SqliteStorage::new(private.unwrap());
    for error in [
        storage.migrate().await.unwrap_err(),
        storage.claim(&claim(&key("private"))).await.unwrap_err(),
        storage.complete(&complete(&claim(&key("private")), "1")).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error}");
        assert!(error.to_string().contains("sqlite::memory:"), "{error}");
    }
}
