//! MariaDB or MySQL.

use std::sync::Arc;

use anyhow::Context as _;
use idempotency::Idempotency;
use idempotency::storage::MySqlStorage;
use sqlx::mysql::{MySqlPool, MySqlPoolOptions};
use sqlx::{MySql, Row as _, query, query_as, query_scalar};
use testkit::sql::{Product, SqlServer};
use tokio::runtime::Runtime;

use super::bare::{Bare, FINGERPRINT, LEASE_MS, OWNER, RESULT, SIZE, again, ttl_ms};
use super::database::Database;
use super::{Bench, CONNECTIONS, Promised, statements};
use crate::report::Row;
use crate::sampling::Sampling;

pub(super) fn measure(sampling: &mut Sampling<'_>, callers: &[usize]) -> anyhow::Result<Vec<Row>> {
    let runtime = sampling.runtime;
    let server = SqlServer::builder(Product::MySql)
        .setting("innodb-flush-log-at-trx-commit", "1")
        .setting("innodb-buffer-pool-size", "256M")
        .setting("innodb-monitor-enable", COUNTER)
        .start();
    let options = MySqlPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    let pool = runtime.block_on(options.connect(&server.url()))?;
    let storage = MySqlStorage::new(pool.clone());
    runtime.block_on(storage.migrate())?;
    let promised = Promised { fresh: 2.0, replay: None };
    let idem = Idempotency::new(storage)?;
    let seen = statements(runtime, &idem);
    let [look, claim, complete] = seen.try_into().ok().context("three statements")?;
    let same = Same { pool: pool.clone(), look, claim, complete };
    let (by_hand, server) = (ByHand(pool.clone()), Server { server, pool });
    Bench::new("mysql", idem, same, by_hand, server, promised).measure(sampling, callers)
}

#[derive(Clone)]
struct Same {
    pool: MySqlPool,
    look: Arc<str>,
    claim: Arc<str>,
    complete: Arc<str>,
}

impl Bare for Same {
    async fn claim(&self, key: &str) -> sqlx::Result<bool> {
        if self.replay(key).await?.is_some() {
            return Ok(false);
        }
        let [key, owner, fingerprint] = [key.as_bytes(), &OWNER, &FINGERPRINT].map(hex);
        let (lease, ttl) = (LEASE_MS, ttl_ms());
        let claims = format!(r#"[["{key}","{owner}","{fingerprint}","retry",{lease},{ttl}]]"#);
        let claim = again::<MySql>(&self.claim).bind(claims).execute(&self.pool).await?;
        Ok(claim.rows_affected() == 1)
    }

    async fn complete(&self, key: &str) -> sqlx::Result<bool> {
        let complete = again::<MySql>(&self.complete)
            .bind("completed")
            .bind("json")
            .bind(None::<&str>)
            .bind(ttl_ms())
            .bind(ttl_ms())
            .bind(ttl_ms())
            .bind(key.as_bytes())
            .bind(&RESULT[..])
            .bind(key.as_bytes())
            .bind(None::<&[u8]>)
            .bind(key.as_bytes())
            .bind(SIZE)
            .bind(key.as_bytes())
            .bind(key.as_bytes())
            .bind(&OWNER[..])
            .bind(None::<&str>);
        Ok(complete.execute(&self.pool).await?.rows_affected() == 1)
    }

    async fn replay(&self, key: &str) -> sqlx::Result<Option<Vec<u8>>> {
        let look = again::<MySql>(&self.look).bind(key.as_bytes());
        let mut rows = look.fetch_all(&self.pool).await?;
        rows.pop().map_or(Ok(None), |row| row.try_get("payload"))
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[derive(Clone)]
struct ByHand(MySqlPool);

/// This moment, in milliseconds since the Unix epoch.
macro_rules! now {
    () => {
        "(TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000)"
    };
}

const LOOK: &str = concat!(
    "SELECT payload, status, finished_at FROM idempotency_records WHERE `key` = ? AND expires_at > ",
    now!()
);

const CLAIM: &str = concat!(
    "INSERT INTO idempotency_records
        (`key`, version, status, owner, fence, recovered, fingerprint, on_crash, lease_ms, ttl_ms, lease_until, expires_at, purge_after)
     VALUES (?, 1, 'processing', ?, 1, 0, ?, 'retry', ?, ?, ",
    now!(),
    " + ?, ",
    now!(),
    " + ?, ",
    now!(),
    " + ?)"
);

const COMPLETE: &str = concat!(
    "UPDATE idempotency_records
     SET status = 'completed', codec = 'json', payload = ?, size = ?, finished_at = ",
    now!(),
    ", expires_at = ? + ",
    now!(),
    " WHERE `key` = ? AND owner = ? AND status = 'processing' AND expires_at > ",
    now!()
);

impl Bare for ByHand {
    async fn claim(&self, key: &str) -> sqlx::Result<bool> {
        if self.replay(key).await?.is_some() {
            return Ok(false);
        }
        let claim = query(CLAIM)
            .bind(key.as_bytes())
            .bind(&OWNER[..])
            .bind(&FINGERPRINT[..])
            .bind(LEASE_MS)
            .bind(ttl_ms())
            .bind(LEASE_MS)
            .bind(LEASE_MS + ttl_ms())
            .bind(ttl_ms());
        Ok(claim.execute(&self.0).await?.rows_affected() == 1)
    }

    async fn complete(&self, key: &str) -> sqlx::Result<bool> {
        let complete = query(COMPLETE)
            .bind(&RESULT[..])
            .bind(SIZE)
            .bind(ttl_ms())
            .bind(key.as_bytes())
            .bind(&OWNER[..]);
        Ok(complete.execute(&self.0).await?.rows_affected() == 1)
    }

    async fn replay(&self, key: &str) -> sqlx::Result<Option<Vec<u8>>> {
        let found: Option<(Option<Vec<u8>>,)> =
            query_as(LOOK).bind(key.as_bytes()).fetch_optional(&self.0).await?;
        Ok(found.and_then(|(payload,)| payload))
    }
}

/// `InnoDB` counts the commits of what wrote something, where it is told to.
struct Server {
    server: SqlServer,
    pool: MySqlPool,
}

const COUNTER: &str = "trx_rw_commits";

impl Database for Server {
    fn commits(&self, runtime: &Runtime) -> anyhow::Result<u64> {
        let count = "SELECT count FROM information_schema.innodb_metrics WHERE name = ?";
        let count: i64 =
            runtime.block_on(query_scalar(count).bind(COUNTER).fetch_one(&self.pool))?;
        Ok(u64::try_from(count)?)
    }
    fn bytes(&self, runtime: &Runtime) -> anyhow::Result<u64> {
        let size =
            "SELECT CAST(data_length + index_length AS SIGNED) FROM information_schema.tables
                    WHERE table_schema = DATABASE() AND table_name = 'idempotency_records'";
        runtime.block_on(query("ANALYZE TABLE idempotency_records").execute(&self.pool))?;
        let size: i64 = runtime.block_on(query_scalar(size).fetch_one(&self.pool))?;
        Ok(u64::try_from(size)?)
    }

    fn processes(&self) -> Vec<u32> {
        self.server.pids()
    }
}
