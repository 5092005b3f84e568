//! The backends, each with a way to let time pass for a record without waiting for it: the record's times are moved back, and those of the
//! model forward. Leases and retentions are minutes, so the moments that a test takes change nothing.

use std::time::{Duration, SystemTime};

use crate::stage;
use idem_runtime::key::RecordKey;
use idem_runtime::record::Timestamp;
use idem_runtime::storage::{MySqlStorage, PostgresStorage, RedisStorage, SqliteStorage};
use idem_runtime::testing::conformance::histories::Bench;
use sqlx::{MySqlPool, PgPool, SqlitePool};
use tempfile::TempDir;
use testkit::redis::SharedRedis;
use testkit::sql::Product;

/// The clock of a server on this machine.
fn now() -> Timestamp {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
    Timestamp::from_millis(now.as_millis().try_into().unwrap())
}

pub(super) struct OnRedis(RedisStorage, &'static SharedRedis);

impl OnRedis {
    pub(super) async fn new() -> Self {
        let server = testkit::redis::shared();
        Self(RedisStorage::connect(server.url()).await.unwrap(), server)
    }
}

impl Bench for OnRedis {
    type Storage = RedisStorage;

    fn storage(&self) -> &RedisStorage {
        &self.0
    }

    async fn now(&self) -> Timestamp {
        now()
    }

    fn is_exact(&self) -> bool {
        false
    }

    /// Redis keeps how long a record has left, and counts everything from that.
    async fn pass(&self, key: &RecordKey, time: Duration) {
        let key = format!("idem:{{}}{}", key.as_str());
        let left: i64 = self.1.command(&["PTTL", &key]).parse().unwrap();
        // What is parked has no expiry.
        if left >= 0 {
            let left = left - millis(time);
            self.1.command(&["PEXPIRE", &key, &left.to_string()]);
        }
    }
}

/// Moves the times of a row back by the first argument; the second is the key.
const EARLIER: &str = "UPDATE idempotency_records SET lease_until = lease_until - $1, \
                       purge_after = purge_after - $1, \
                       expires_at = CASE expires_at WHEN 253402300799999 THEN expires_at ELSE expires_at - $1 END, \
                       finished_at = finished_at - $1 WHERE key = $2";

pub(super) struct OnPostgres(PostgresStorage, PgPool);

impl OnPostgres {
    pub(super) async fn new() -> Self {
        let url = testkit::sql::shared(Product::Postgres).new_database();
        let storage = stage::postgres(&url).await;
        storage.migrate().await.unwrap();
        Self(storage, PgPool::connect(&url).await.unwrap())
    }
}

impl Bench for OnPostgres {
    type Storage = PostgresStorage;

    fn storage(&self) -> &PostgresStorage {
        &self.0
    }

    async fn now(&self) -> Timestamp {
        now()
    }

    fn is_exact(&self) -> bool {
        false
    }

    async fn pass(&self, key: &RecordKey, time: Duration) {
        let query = sqlx::query(EARLIER).bind(millis(time)).bind(key.as_str());
        query.execute(&self.1).await.unwrap();
    }
}

pub(super) struct OnMySql(MySqlStorage, MySqlPool);

impl OnMySql {
    pub(super) async fn new() -> Self {
        let url = testkit::sql::shared(Product::MySql).new_database();
        let storage = stage::mysql(&url).await;
        storage.migrate().await.unwrap();
        Self(storage, MySqlPool::connect(&url).await.unwrap())
    }
}

impl Bench for OnMySql {
    type Storage = MySqlStorage;

    fn storage(&self) -> &MySqlStorage {
        &self.0
    }

    async fn now(&self) -> Timestamp {
        now()
    }

    fn is_exact(&self) -> bool {
        false
    }

    async fn pass(&self, key: &RecordKey, time: Duration) {
        let earlier = "UPDATE idempotency_records SET lease_until = lease_until - ?, purge_after = purge_after - ?, \
                       expires_at = CASE expires_at WHEN 253402300799999 THEN expires_at ELSE expires_at - ? END, \
                       finished_at = finished_at - ? WHERE `key` = ?";
        let query = (0..4).fold(sqlx::query(earlier), |query, _| query.bind(millis(time)));
        query.bind(key.as_str().as_bytes()).execute(&self.1).await.unwrap();
    }
}

pub(super) struct OnSqlite {
    storage: SqliteStorage,
    direct: SqlitePool,
    _dir: TempDir,
}

impl OnSqlite {
    pub(super) async fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite://{}", dir.path().join("records.db").display());
        let storage = SqliteStorage::connect(&url).await.unwrap();
        storage.migrate().await.unwrap();
        Self { storage, direct: SqlitePool::connect(&url).await.unwrap(), _dir: dir }
    }
}

impl Bench for OnSqlite {
    type Storage = SqliteStorage;

    fn storage(&self) -> &SqliteStorage {
        &self.storage
    }

    async fn now(&self) -> Timestamp {
        now()
    }

    fn is_exact(&self) -> bool {
        false
    }

    async fn pass(&self, key: &RecordKey, time: Duration) {
        let key = key.as_str().to_owned();
        sqlx::query(EARLIER).bind(millis(time)).bind(key).execute(&self.direct).await.unwrap();
    }
}

fn millis(time: Duration) -> i64 {
    time.as_millis().try_into().unwrap()
}
