//! The published conformance suite on Postgres.

use std::time::Duration;

use idem_runtime::RecordKey;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::PostgresStorage;
use idem_runtime::testing::conformance::{self, Harm, Harness, Inflicted};
use sqlx::PgPool;
use testkit::proxy::{FaultProxy, Loss};
use testkit::sql::{Product, SqlServer};

/// A storage behind a proxy of its own, and a way past it to its server.
struct OnPostgres {
    storage: PostgresStorage,
    direct: PgPool,
    proxy: FaultProxy,
}

impl OnPostgres {
    /// Changes the row of a record and nothing else.
    async fn damage(&self, key: &RecordKey, damage: &'static str) -> Inflicted {
        let damaged = sqlx::query(damage).bind(key.as_str()).execute(&self.direct).await.unwrap();
        assert_eq!(damaged.rows_affected(), 1);
        Inflicted::Done
    }

    /// Loses the next statement or its answer. What prepares a statement, and what tries a connection, is no request of a verb.
    fn lose(&self, lose: impl FnOnce(&FaultProxy, Loss)) -> Inflicted {
        const BIND: u8 = b'B';
        lose(&self.proxy, Loss::next(1).of_requests(|request| request.first() == Some(&BIND)));
        Inflicted::Done
    }
}

impl Harness for OnPostgres {
    type Storage = PostgresStorage;

    fn storage(&self) -> &PostgresStorage {
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
            Harm::NextRequestLost => self.lose(FaultProxy::drop_requests),
            Harm::NextReplyLost => self.lose(FaultProxy::drop_replies),
            _ => Inflicted::Unsupported("not known here"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_conforms() {
    let server = SqlServer::builder(Product::Postgres).without_fsync().start();
    let direct = PgPool::connect(&server.url()).await.unwrap();
    PostgresStorage::new(direct.clone()).migrate().await.unwrap();
    let report = conformance::run(async || {
        let proxy = FaultProxy::start(("127.0.0.1", server.port()));
        let storage = PostgresStorage::connect(proxy.before(&server.url())).await.unwrap();
        OnPostgres { storage, direct: direct.clone(), proxy }
    });
    let report = report.await;
    println!("{report}");
    report.assert_passed();
}
