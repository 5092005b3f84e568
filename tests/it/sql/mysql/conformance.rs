//! The published conformance suite on MariaDB, or on MySQL where the tests are told to run on that.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use idem_runtime::key::RecordKey;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::{MySqlStorage, SharedStorage, Storage};
use idem_runtime::testing::InTransactions;
use idem_runtime::testing::conformance::{self, Harm, Harness, Inflicted, Opened};
use sqlx::MySqlPool;
use sqlx::mysql::MySqlPoolOptions;
use testkit::proxy::{FaultProxy, Loss};
use testkit::sql::{Product, SqlServer};

use crate::stage::PATIENCE;

/// A storage behind a proxy of its own, and a way past it to its server.
struct OnMySql<S> {
    storage: S,
    direct: MySqlPool,
    open: Open<S>,
    proxy: FaultProxy,
    /// Whether a request is one of a verb, and whether it is the one that makes it happen.
    requests: fn(&[u8]) -> bool,
    applies: fn(&[u8]) -> bool,
}

impl<S> OnMySql<S> {
    /// Changes the row of a record and nothing else.
    async fn damage(&self, key: &RecordKey, damage: &'static str) -> Inflicted {
        let query = sqlx::query(damage).bind(key.as_str().as_bytes());
        assert_eq!(query.execute(&self.direct).await.unwrap().rows_affected(), 1);
        Inflicted::Done
    }
}

/// Whether a request runs a statement. What prepares one, and what tries a connection, is no request of a verb.
fn is_statement(request: &[u8]) -> bool {
    const EXECUTE: u8 = 0x17;
    request.get(4) == Some(&EXECUTE)
}

/// Whether a request runs a statement that writes: it is given more than keys. A verb may read before it.
fn is_write(request: &[u8]) -> bool {
    is_statement(request) && request.windows(2).any(|bytes| bytes == b"\",")
}

/// Whether a request makes what a transaction did happen.
fn is_commit(request: &[u8]) -> bool {
    request.ends_with(b"COMMIT")
}

impl<S: Storage> Harness for OnMySql<S> {
    type Storage = S;

    fn storage(&self) -> &S {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        let now = "SELECT TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(3)) DIV 1000";
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
                let garbage = "UPDATE idempotency_records SET status = '{\"done\":true}', owner = 'x', on_crash = '' WHERE `key` = ?";
                self.damage(key, garbage).await
            }
            Harm::Truncated(key) => {
                let shorter = "UPDATE idempotency_records SET
                    fingerprint = IF(payload IS NULL, LEFT(fingerprint, LENGTH(fingerprint) - 1), fingerprint),
                    payload = LEFT(payload, LENGTH(payload) - 1) WHERE `key` = ?";
                self.damage(key, shorter).await
            }
            Harm::NewerVersion(key) => {
                let newer = "UPDATE idempotency_records SET version = version + 1 WHERE `key` = ?";
                self.damage(key, newer).await
            }
            Harm::NextRequestLost => {
                self.proxy.drop_requests(Loss::next(1).of_requests(self.requests));
                Inflicted::Done
            }
            // It does not arrive, and of what it would have committed nothing is kept.
            Harm::NextCommitFails => {
                self.proxy.drop_requests(Loss::next(1).of_requests(self.applies));
                Inflicted::Done
            }
            Harm::NextReplyLost => {
                self.proxy.drop_replies(Loss::next(1).of_requests(self.applies));
                Inflicted::Done
            }
            _ => Inflicted::Unsupported("not known here"),
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
async fn mysql_conforms() {
    let server = SqlServer::builder(Product::MySql).without_fsync().start();
    let direct = MySqlPool::connect(&server.url()).await.unwrap();
    MySqlStorage::new(direct.clone()).migrate().await.unwrap();
    let report = conformance::run(async || {
        let proxy = FaultProxy::start(("127.0.0.1", server.port()));
        // Like that of a storage made from a URL, but for the patience: on a busy machine a login takes its time.
        let pool = MySqlPoolOptions::new().max_connections(8).test_before_acquire(false);
        let url = proxy.before(&server.url());
        let pool = pool.acquire_timeout(PATIENCE).connect(&url).await.unwrap();
        let storage = MySqlStorage::new(pool);
        let (requests, applies) = (is_statement, is_write);
        let url = server.url();
        let open = opening(move || {
            let url = url.clone();
            async move {
                let pool = MySqlPoolOptions::new().max_connections(8).acquire_timeout(PATIENCE);
                Opened::Done(MySqlStorage::new(pool.connect(&url).await.unwrap()))
            }
        });
        OnMySql { storage, direct: direct.clone(), open, proxy, requests, applies }
    });
    let report = report.await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mysql_in_transactions_conforms() {
    let server = SqlServer::builder(Product::MySql).without_fsync().start();
    let direct = MySqlPool::connect(&server.url()).await.unwrap();
    MySqlStorage::new(direct.clone()).migrate().await.unwrap();
    let report = conformance::run(async || {
        let proxy = FaultProxy::start(("127.0.0.1", server.port()));
        let pool = MySqlPoolOptions::new().max_connections(3);
        let pool = pool.acquire_timeout(PATIENCE);
        let pool = pool.connect(&proxy.before(&server.url())).await.unwrap();
        let storage = SharedStorage::new(MySqlStorage::new(pool.clone()));
        let storage = InTransactions::new(storage, pool);
        let (requests, applies) = (is_commit, is_commit);
        let url = server.url();
        let open = opening(move || {
            let url = url.clone();
            async move {
                let pool = MySqlPoolOptions::new().max_connections(3).acquire_timeout(PATIENCE);
                let pool = pool.connect(&url).await.unwrap();
                let storage = SharedStorage::new(MySqlStorage::new(pool.clone()));
                Opened::Done(InTransactions::new(storage, pool))
            }
        });
        OnMySql { storage, direct: direct.clone(), open, proxy, requests, applies }
    });
    let report = report.await;
    println!("{report}");
    report.assert_passed();
}
