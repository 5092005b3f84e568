//! The published conformance suite on SQLite.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use idem_runtime::key::RecordKey;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::{SharedStorage, SqliteStorage, Storage};
use idem_runtime::testing::InTransactions;
use idem_runtime::testing::conformance::{self, Harm, Harness, Inflicted, Opened};
use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions};

/// A storage, and a way past it to its database.
struct OnSqlite<S> {
    storage: S,
    direct: SqlitePool,
    open: Open<S>,
}

impl<S> OnSqlite<S> {
    /// Changes the row of a record and nothing else.
    async fn damage(&self, key: &RecordKey, damage: &'static str) -> Inflicted {
        let key = key.as_str().to_owned();
        let damaged = sqlx::query(damage).bind(key).execute(&self.direct).await.unwrap();
        assert_eq!(damaged.rows_affected(), 1);
        Inflicted::Done
    }
}

impl<S: Storage> Harness for OnSqlite<S> {
    type Storage = S;

    fn storage(&self) -> &S {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        let now = "SELECT CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)";
        let millis: i64 = sqlx::query_scalar(now).fetch_one(&self.direct).await.unwrap();
        Timestamp::from_millis(millis.try_into().unwrap())
    }

    async fn elapse(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    fn clock_is_exact(&self) -> bool {
        false
    }

    async fn second(&self) -> Opened<S> {
        (self.open)().await
    }

    async fn reopen(self) -> Opened<Self> {
        match (self.open)().await {
            Opened::Done(storage) => Opened::Done(Self { storage, ..self }),
            Opened::Unsupported(why) => Opened::Unsupported(why),
        }
    }

    async fn inflict(&self, harm: Harm<'_>) -> Inflicted {
        match harm {
            Harm::Garbage(key) => {
                let garbage = "UPDATE idempotency_records SET status = '{\"done\":true}', owner = x'78', on_crash = '' WHERE key = ?";
                self.damage(key, garbage).await
            }
            Harm::Truncated(key) => {
                let shorter = "UPDATE idempotency_records SET
                    fingerprint = CASE WHEN payload IS NULL THEN substr(fingerprint, 1, length(fingerprint) - 1)
                                       ELSE fingerprint END,
                    payload = substr(payload, 1, length(payload) - 1) WHERE key = ?";
                self.damage(key, shorter).await
            }
            Harm::NewerVersion(key) => {
                let newer = "UPDATE idempotency_records SET version = version + 1 WHERE key = ?";
                self.damage(key, newer).await
            }
            _ => Inflicted::Unsupported("nothing lies between the storage and its file"),
        }
    }
}

/// Opens a storage as another process does.
type Open<S> = Arc<dyn Fn() -> BoxFuture<'static, Opened<S>> + Send + Sync>;

fn opening<S, F: Future<Output = Opened<S>> + Send + 'static>(
    open: impl Fn() -> F + Send + Sync + 'static,
) -> Open<S> {
    Arc::new(move || Box::pin(open()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_on_a_file_conforms() {
    let dir = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("records.db").display());
    let storage = SqliteStorage::connect(&url).await.unwrap();
    storage.migrate().await.unwrap();
    let direct = SqlitePool::connect(&url).await.unwrap();
    // Like so many processes. Were it one for each case, who waits to write would wait for chance: SQLite keeps no queue.
    let mut processes = Vec::new();
    for _ in 0..4 {
        let patient = SqliteStorage::builder().connection_timeout(crate::stage::PATIENCE);
        processes.push(patient.connect(&url).await.unwrap());
    }
    let next = AtomicUsize::new(0);
    let open = opening(move || {
        let url = url.clone();
        async move {
            let patient = SqliteStorage::builder().connection_timeout(crate::stage::PATIENCE);
            Opened::Done(patient.connect(&url).await.unwrap())
        }
    });
    let report = conformance::run(async || OnSqlite {
        storage: processes[next.fetch_add(1, Ordering::Relaxed) % processes.len()].clone(),
        direct: direct.clone(),
        open: Arc::clone(&open),
    });
    let report = report.await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_in_memory_conforms() {
    let options = SqlitePoolOptions::new().max_connections(1);
    let direct = options.connect("sqlite::memory:").await.unwrap();
    let storage = SqliteStorage::new(direct.clone());
    storage.migrate().await.unwrap();
    // The database ends with its connection.
    let open = opening(async || Opened::Unsupported("it is in memory, for one connection"));
    let report = conformance::run(async || OnSqlite {
        storage: storage.clone(),
        direct: direct.clone(),
        open: Arc::clone(&open),
    });
    let report = report.await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn sqlite_in_transactions_conforms() {
    let dir = tempfile::TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("records.db").display());
    let storage = SqliteStorage::connect(&url).await.unwrap();
    storage.migrate().await.unwrap();
    let options: SqliteConnectOptions = url.parse().unwrap();
    // Who waits to write waits for chance, and here every case does.
    let options = options.busy_timeout(Duration::from_secs(30));
    let pool = SqlitePoolOptions::new().max_connections(8).acquire_timeout(crate::stage::PATIENCE);
    let direct = pool.connect_with(options).await.unwrap();
    let open = opening(move || {
        let url = url.clone();
        async move {
            let options: SqliteConnectOptions = url.parse().unwrap();
            let options = options.busy_timeout(Duration::from_secs(30));
            let pool = SqlitePoolOptions::new().max_connections(4);
            let pool = pool.acquire_timeout(crate::stage::PATIENCE).connect_with(options);
            let (pool, storage) =
                (pool.await.unwrap(), SqliteStorage::connect(&url).await.unwrap());
            Opened::Done(InTransactions::new(SharedStorage::new(storage), pool))
        }
    });
    let report = conformance::run(async || OnSqlite {
        storage: InTransactions::new(SharedStorage::new(storage.clone()), direct.clone()),
        direct: direct.clone(),
        open: Arc::clone(&open),
    });
    let report = report.await;
    println!("{report}");
    report.assert_passed();
}
