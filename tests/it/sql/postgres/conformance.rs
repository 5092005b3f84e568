//! The published conformance suite on Postgres.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use idem_runtime::key::RecordKey;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::sql::PostgresBuilder;
use idem_runtime::storage::{PostgresStorage, SharedStorage, Storage};
use idem_runtime::testing::InTransactions;
use idem_runtime::testing::conformance::{self, Harm, Harness, Inflicted, Opened, Report};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use testkit::proxy::{FaultProxy, Loss};
use testkit::sql::{PgBouncer, Product, SqlServer};

use crate::stage::PATIENCE;

/// A storage behind a proxy of its own, and a way past it to its server.
struct OnPostgres<S> {
    storage: S,
    direct: PgPool,
    open: Open<S>,
    proxy: FaultProxy,
    /// Whether a request is the one that makes a verb happen. What prepares a statement, and what tries a connection, is not.
    applies: fn(&[u8]) -> bool,
}

impl<S> OnPostgres<S> {
    /// Changes the row of a record and nothing else.
    async fn damage(&self, key: &RecordKey, damage: &'static str) -> Inflicted {
        let damaged = sqlx::query(damage).bind(key.as_str()).execute(&self.direct).await.unwrap();
        assert_eq!(damaged.rows_affected(), 1);
        Inflicted::Done
    }

    /// Loses the next verb or its answer.
    fn lose(&self, lose: impl FnOnce(&FaultProxy, Loss)) -> Inflicted {
        lose(&self.proxy, Loss::next(1).of_requests(self.applies));
        Inflicted::Done
    }
}

impl<S: Storage> Harness for OnPostgres<S> {
    type Storage = S;

    fn storage(&self) -> &S {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        let now = "SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint";
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
                let garbage = "UPDATE idempotency_records SET status = '{\"done\":true}', owner = 'x', on_crash = '' WHERE key = $1";
                self.damage(key, garbage).await
            }
            Harm::Truncated(key) => {
                let shorter = "UPDATE idempotency_records SET
                    fingerprint = CASE WHEN payload IS NULL THEN substr(fingerprint, 1, length(fingerprint) - 1)
                                       ELSE fingerprint END,
                    payload = substr(payload, 1, length(payload) - 1) WHERE key = $1";
                self.damage(key, shorter).await
            }
            Harm::NewerVersion(key) => {
                let newer = "UPDATE idempotency_records SET version = version + 1 WHERE key = $1";
                self.damage(key, newer).await
            }
            // A commit that does not arrive: of what it would have committed nothing is kept.
            Harm::NextRequestLost | Harm::NextCommitFails => self.lose(FaultProxy::drop_requests),
            Harm::NextReplyLost => self.lose(FaultProxy::drop_replies),
            _ => Inflicted::Unsupported("not known here"),
        }
    }
}

/// Runs the suite, each case with a storage that comes by `entrance`.
async fn conforms(
    server: &SqlServer,
    entrance: (&str, u16),
    applies: fn(&[u8]) -> bool,
    builder: fn() -> PostgresBuilder,
) -> Report {
    let direct = PgPool::connect(&server.url()).await.unwrap();
    let patient = PostgresStorage::builder().connection_timeout(PATIENCE);
    patient.build(direct.clone()).unwrap().migrate().await.unwrap();
    let harness = async || {
        let proxy = FaultProxy::start(entrance);
        // Like that of a storage made from a URL, but for the patience: on a busy machine a login takes its time.
        let pool = PgPoolOptions::new().max_connections(5).test_before_acquire(false);
        let url = proxy.before(&server.url());
        let pool = pool.acquire_timeout(PATIENCE).connect(&url).await.unwrap();
        let storage = builder().connection_timeout(PATIENCE).build(pool).unwrap();
        // Others come past the pooler, where all cases of the suite wait for few connections.
        let url = server.url();
        let open = opening(move || {
            let url = url.clone();
            async move {
                let pool = PgPoolOptions::new().max_connections(5).acquire_timeout(PATIENCE);
                let pool = pool.test_before_acquire(false).connect(&url).await.unwrap();
                Opened::Done(builder().connection_timeout(PATIENCE).build(pool).unwrap())
            }
        });
        OnPostgres { storage, direct: direct.clone(), open, proxy, applies }
    };
    conformance::run(harness).await
}

/// Opens a storage as another process does.
type Open<S> = Arc<dyn Fn() -> BoxFuture<'static, Opened<S>> + Send + Sync>;

fn opening<S, F: Future<Output = Opened<S>> + Send + 'static>(
    open: impl Fn() -> F + Send + Sync + 'static,
) -> Open<S> {
    Arc::new(move || Box::pin(open()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_conforms() {
    const BIND: u8 = b'B';
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let binds = |request: &[u8]| request.first() == Some(&BIND);
    let entrance = ("127.0.0.1", server.port());
    let report = conforms(&server, entrance, binds, PostgresStorage::builder).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_in_transactions_conforms() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let direct = PgPool::connect(&server.url()).await.unwrap();
    let patient = PostgresStorage::builder().connection_timeout(PATIENCE);
    patient.build(direct.clone()).unwrap().migrate().await.unwrap();
    let harness = async || {
        let proxy = FaultProxy::start(("127.0.0.1", server.port()));
        let pool = PgPoolOptions::new().max_connections(3).acquire_timeout(PATIENCE);
        let pool = pool.connect(&proxy.before(&server.url())).await.unwrap();
        let builder = PostgresStorage::builder().connection_timeout(PATIENCE);
        let storage = SharedStorage::new(builder.build(pool.clone()).unwrap());
        let applies = |request: &[u8]| request.windows(7).any(|bytes| bytes == b"COMMIT\0");
        let url = server.url();
        let open = opening(move || {
            let url = url.clone();
            async move {
                let pool = PgPoolOptions::new().max_connections(3).acquire_timeout(PATIENCE);
                let pool = pool.connect(&url).await.unwrap();
                let builder = PostgresStorage::builder().connection_timeout(PATIENCE);
                let storage = SharedStorage::new(builder.build(pool.clone()).unwrap());
                Opened::Done(InTransactions::new(storage, pool))
            }
        });
        OnPostgres {
            storage: InTransactions::new(storage, pool),
            open,
            direct: direct.clone(),
            proxy,
            applies,
        }
    };
    let report = conformance::run(harness).await;
    println!("{report}");
    report.assert_passed();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_behind_a_pooler_in_transaction_mode_conforms() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    // Far fewer connections than those who ask for one, so that a client seldom gets the same twice.
    let pooler = PgBouncer::before(&server, 5);
    let commits = |request: &[u8]| request.ends_with(b"COMMIT\0");
    let builder = || PostgresStorage::builder().prepared_statements(false);
    let report = conforms(&server, ("127.0.0.1", pooler.port()), commits, builder).await;
    println!("{report}");
    report.assert_passed();
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in%'";
    assert_eq!(server.query(open), "0");
}
