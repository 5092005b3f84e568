//! What a test stands on: records on one backend, processes that share them, and a ledger of what ran.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idem_runtime::IdempotencyBuilder;
use idem_runtime::fingerprint::Fingerprinter;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, OwnerId, Record, Status};
use idem_runtime::storage::{
    Claim, Claimed, MemoryStorage, RedisStorage, SharedStorage, SqliteStorage, Storage,
};
use idem_runtime::testing::FaultyStorage;
use idem_runtime::{Error, ErrorKind, Fingerprint, Idempotency, Key};
use idem_tests::{Body, Job};
use tempfile::TempDir;
use testkit::ledger::Ledger;
use testkit::proxy::FaultProxy;
use testkit::sql::Product;
use tokio::sync::OnceCell;

#[macro_use]
mod on_every;
mod connect;
mod gate;
mod process;

pub(crate) use connect::{mysql, postgres};
pub(crate) use gate::{Gate, begin_waiting};
pub(crate) use process::{Heard, Process, Running};

/// Far longer than anything takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// How long a machine that is busy with other tests may take to connect.
pub(crate) const BUSY: Duration = Duration::from_secs(20);
/// Storages count whole milliseconds, so that what lasts for a while may end this much earlier.
pub(crate) const GRAIN: Duration = Duration::from_millis(2);
/// Longer than any test.
pub(crate) const TTL: Duration = Duration::from_secs(600);
/// Short, so that tests outlive it.
pub(crate) const LEASE: Duration = Duration::from_millis(300);
/// For leases that heartbeats have to keep while rivals lie in wait: so long that a busy machine renews it in time.
pub(crate) const KEPT: Duration = Duration::from_millis(700);

/// What `future` gives, for tests that are about processes and not futures.
pub(crate) fn block_on<F: Future>(future: F) -> F::Output {
    tokio::runtime::Runtime::new().unwrap().block_on(future)
}

/// Records on one backend, in a namespace of the test's own.
#[derive(Clone)]
pub(crate) struct Stage {
    records: Records,
    pub(crate) namespace: String,
    pub(crate) ledger: Ledger,
    dir: Arc<TempDir>,
}

#[derive(Clone)]
enum Records {
    Memory(MemoryStorage),
    Redis { url: String },
    Postgres { url: String },
    MySql { url: String },
    Sqlite { url: String },
}

impl Stage {
    pub(crate) fn on_memory() -> Self {
        Self::new(Records::Memory(MemoryStorage::new()))
    }

    /// On the server that the tests share.
    pub(crate) fn on_redis() -> Self {
        Self::at(testkit::redis::shared().url())
    }

    /// On a Redis server of the test's own.
    pub(crate) fn at(url: impl Into<String>) -> Self {
        Self::new(Records::Redis { url: url.into() })
    }

    /// In a database that the tests share.
    pub(crate) async fn on_postgres() -> Self {
        static DATABASE: OnceCell<String> = OnceCell::const_new();
        let make = async || {
            let url = testkit::sql::shared(Product::Postgres).new_database();
            postgres(&url).await.migrate().await.unwrap();
            url
        };
        Self::new(Records::Postgres { url: DATABASE.get_or_init(make).await.clone() })
    }

    /// In a database that the tests share.
    pub(crate) async fn on_mysql() -> Self {
        static DATABASE: OnceCell<String> = OnceCell::const_new();
        let make = async || {
            let url = testkit::sql::shared(Product::MySql).new_database();
            mysql(&url).await.migrate().await.unwrap();
            url
        };
        Self::new(Records::MySql { url: DATABASE.get_or_init(make).await.clone() })
    }

    /// In the database of a server of the test's own.
    pub(crate) async fn on_server(product: Product, url: &str) -> Self {
        let url = url.to_owned();
        match product {
            Product::Postgres => {
                postgres(&url).await.migrate().await.unwrap();
                Self::new(Records::Postgres { url })
            }
            Product::MySql => {
                mysql(&url).await.migrate().await.unwrap();
                Self::new(Records::MySql { url })
            }
        }
    }

    /// In a file of the test's own.
    pub(crate) async fn on_sqlite() -> Self {
        let mut stage = Self::new(Records::Memory(MemoryStorage::new()));
        let url = format!("sqlite://{}", stage.file("records.db").display());
        SqliteStorage::connect(&url).await.unwrap().migrate().await.unwrap();
        stage.records = Records::Sqlite { url };
        stage
    }

    fn new(records: Records) -> Self {
        let dir = TempDir::new().unwrap();
        let ledger = Ledger::create(&dir);
        let namespace = format!("it-{}", uuid::Uuid::now_v7().simple());
        Self { records, namespace, ledger, dir: Arc::new(dir) }
    }

    /// The storage on a connection of its own.
    pub(crate) async fn storage(&self) -> SharedStorage {
        match &self.records {
            Records::Memory(storage) => SharedStorage::new(storage.clone()),
            Records::Sqlite { url } => {
                SharedStorage::new(SqliteStorage::connect(url).await.unwrap())
            }
            Records::Redis { url } | Records::Postgres { url } | Records::MySql { url } => {
                self.storage_at(url).await
            }
        }
    }

    /// What is between the storage's clients and its server; none where there is no server.
    pub(crate) fn proxy(&self) -> Option<FaultProxy> {
        let authority = self.server()?.split_once("://")?.1.split('/').next()?;
        Some(FaultProxy::start(authority.rsplit('@').next()?))
    }

    /// The storage on a connection of its own through `proxy`.
    pub(crate) async fn storage_through(&self, proxy: &FaultProxy) -> SharedStorage {
        self.storage_at(&proxy.before(self.server().unwrap())).await
    }

    fn server(&self) -> Option<&str> {
        match &self.records {
            Records::Memory(_) | Records::Sqlite { .. } => None,
            Records::Redis { url } | Records::Postgres { url } | Records::MySql { url } => {
                Some(url)
            }
        }
    }

    async fn storage_at(&self, url: &str) -> SharedStorage {
        match &self.records {
            Records::Postgres { .. } => SharedStorage::new(postgres(url).await),
            Records::MySql { .. } => SharedStorage::new(mysql(url).await),
            _ => SharedStorage::new(RedisStorage::connect(url).await.unwrap()),
        }
    }

    pub(crate) async fn process(&self) -> Process {
        self.process_with(|builder| builder).await
    }

    /// A process with settings of its own. Its lease is [`LEASE`] and its ttl [`TTL`] unless it says otherwise.
    pub(crate) async fn process_with(
        &self,
        settings: impl FnOnce(IdempotencyBuilder) -> IdempotencyBuilder,
    ) -> Process {
        let storage = FaultyStorage::new(self.storage().await);
        let faults = storage.faults().clone();
        let heard = Arc::new(Heard::default());
        let count = |counter: fn(&Heard) -> &AtomicUsize| {
            let heard = Arc::clone(&heard);
            move |_: &idem_runtime::hooks::CallEvent<'_>| {
                counter(&heard).fetch_add(1, Ordering::SeqCst);
            }
        };
        let builder = Idempotency::builder(storage)
            .namespace(&self.namespace)
            .lease(LEASE)
            .ttl(TTL)
            .on_replay(count(|heard| &heard.replays))
            .on_unrecorded(count(|heard| &heard.unrecorded))
            .on_takeover(count(|heard| &heard.takeovers))
            .on_abandoned({
                let heard = Arc::clone(&heard);
                move |call| heard.abandoned.lock().push(call.reason)
            })
            .on_parked(count(|heard| &heard.parked));
        let idem = settings(builder).build().unwrap();
        Process { idem, faults, heard }
    }

    /// The name of a key's record, for the raw storage.
    pub(crate) fn record_key(&self, key: &str) -> RecordKey {
        RecordKey::new(&self.namespace, None, &Key::new(key).unwrap()).unwrap()
    }

    /// The record of a key, as it is.
    pub(crate) async fn record(&self, key: &str) -> Option<Record> {
        self.storage().await.load(&self.record_key(key)).await.unwrap()
    }

    /// Where the record of a key stands.
    pub(crate) async fn status(&self, key: &str) -> Option<Status> {
        self.record(key).await.map(|record| record.status())
    }

    /// A claim as [`Process::charge`] makes it.
    pub(crate) fn claim(&self, key: &str, lease: Duration, on_crash: CrashPolicy) -> Claim {
        Claim {
            key: self.record_key(key),
            owner: OwnerId::random(),
            fingerprint: fingerprint(),
            lease,
            ttl: TTL,
            on_crash,
        }
    }

    /// An owner that claims and is not heard of again: its process is gone.
    pub(crate) async fn dead_owner(
        &self,
        key: &str,
        lease: Duration,
        policy: CrashPolicy,
    ) -> Claim {
        let claim = self.claim(key, lease, policy);
        let answer = self.storage().await.claim(&claim).await.unwrap();
        assert!(matches!(answer, Claimed::Acquired { .. }), "{answer:?}");
        claim
    }

    /// The storage's address, for other processes.
    pub(crate) fn url(&self) -> &str {
        match &self.records {
            Records::Memory(_) => panic!("memory is in one process"),
            Records::Redis { url }
            | Records::Postgres { url }
            | Records::MySql { url }
            | Records::Sqlite { url } => url,
        }
    }

    /// Calls of [`Process::charge`]'s operation for a worker process: one that waits long and takes no time.
    pub(crate) fn job(&self, key: &str, value: &str) -> Job {
        Job {
            url: self.url().to_owned(),
            namespace: self.namespace.clone(),
            ledger: self.ledger.path().to_owned(),
            key: key.to_owned(),
            calls: 1,
            lease: LEASE,
            ttl: TTL,
            wait: PATIENCE,
            park: false,
            body: Body::Sleeps(Duration::ZERO),
            value: value.to_owned(),
        }
    }

    /// A file name for [`Body::AwaitsFile`].
    pub(crate) fn file(&self, name: &str) -> std::path::PathBuf {
        self.dir.path().join(name)
    }

    /// A body that takes no time, enters itself in the ledger and returns `value`.
    pub(crate) fn body(
        &self,
        key: &str,
        value: &str,
    ) -> impl Future<Output = Result<String, Error>> + Send + use<> {
        let (ledger, key, value) = (self.ledger.clone(), key.to_owned(), value.to_owned());
        async move {
            ledger.record(&key, &value);
            Ok(value)
        }
    }

    /// A body that waits inside until `gate` is opened.
    pub(crate) async fn gated(&self, key: &str, value: &str, gate: &Gate) -> Result<String, Error> {
        let run = self.ledger.start(key, value);
        gate.pass().await;
        run.finish("");
        Ok(value.to_owned())
    }
}

/// The fingerprint of [`Process::charge`]'s calls.
pub(crate) fn fingerprint() -> Fingerprint {
    Fingerprinter::new(Job::OPERATION).finish()
}

/// What `future` gives; a test that hangs fails instead.
#[track_caller]
pub(crate) fn in_time<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let place = std::panic::Location::caller();
    async move {
        let output = tokio::time::timeout(PATIENCE, future).await;
        output.unwrap_or_else(|_| panic!("{place} took longer than {PATIENCE:?}"))
    }
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, condition: impl FnMut() -> bool) {
    testkit::wait::until_async(what, PATIENCE, condition).await;
}

/// The error's kind, for assertions.
pub(crate) fn kind<T: std::fmt::Debug>(result: Result<T, Error>) -> ErrorKind {
    result.unwrap_err().kind()
}
