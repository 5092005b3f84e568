//! Postgres.

use std::sync::Arc;

use anyhow::Context as _;
use idempotency::Idempotency;
use idempotency::storage::PostgresStorage;
use sqlx::postgres::{PgArguments, PgListener, PgPool, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{Postgres, Row as _, ValueRef as _, query, query_scalar};
use testkit::sql::{Product, SqlServer};
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;

use super::bare::{
    Bare, FINGERPRINT, Fresh, LEASE_MS, OWNER, RESULT, SIZE, claim_again, complete_again, ttl_ms,
};
use super::database::Database;
use super::{Bench, CONNECTIONS, Promised, statements};
use crate::report::Row;
use crate::sampling::Sampling;

pub(super) fn measure(sampling: &mut Sampling<'_>, callers: &[usize]) -> anyhow::Result<Vec<Row>> {
    let runtime = sampling.runtime;
    let server = SqlServer::builder(Product::Postgres)
        .setting("synchronous_commit", "on")
        .setting("shared_buffers", "256MB")
        .start();
    let options = PgPoolOptions::new().max_connections(CONNECTIONS).test_before_acquire(false);
    let pool = runtime.block_on(options.connect(&server.url()))?;
    let storage = PostgresStorage::new(pool.clone());
    runtime.block_on(storage.migrate())?;
    let promised = Promised { fresh: 5.0, replay: Some(1.5) };
    let idem = Idempotency::new(storage)?;
    let [claim, complete] = statements(runtime, &idem).try_into().ok().context("two statements")?;
    let same = Same { pool: pool.clone(), claim, complete };
    let (silent, telling) = (ByHand::new(&pool, false), ByHand::new(&pool, true));
    let server = Server { server, pool: pool.clone() };
    let bench = Bench::new("postgres", idem, same, silent, server, promised);
    let mut rows = bench.measure(sampling, callers)?;
    if callers.contains(&64) {
        let listeners: sqlx::Result<Vec<_>> =
            (0..LISTENERS).map(|_| runtime.block_on(listen(&pool))).collect();
        let listeners = listeners?;
        rows.push(bench.instead(sampling, "NOTIFY", 64, &Fresh(telling)));
        listeners.iter().for_each(JoinHandle::abort);
    }
    Ok(rows)
}

/// So many processes wait for keys of others.
const LISTENERS: usize = 4;

/// Hears of every key that is finished.
async fn listen(pool: &PgPool) -> sqlx::Result<JoinHandle<()>> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANNEL).await?;
    Ok(tokio::spawn(async move { while listener.recv().await.is_ok() {} }))
}

const CHANNEL: &str = "finished";

#[derive(Clone)]
struct Same {
    pool: PgPool,
    claim: Arc<str>,
    complete: Arc<str>,
}

impl Same {
    /// The row that a claim gives.
    async fn row(&self, key: &str) -> sqlx::Result<PgRow> {
        let claim = claim_again::<Postgres>(&self.claim, key);
        let mut rows = claim.fetch_all(&self.pool).await?;
        rows.pop().ok_or(sqlx::Error::RowNotFound)
    }
}

impl Bare for Same {
    async fn claim(&self, key: &str) -> sqlx::Result<bool> {
        Ok(!self.row(key).await?.try_get_raw(2)?.is_null())
    }

    async fn complete(&self, key: &str) -> sqlx::Result<bool> {
        let complete = complete_again::<Postgres>(&self.complete, key);
        Ok(!complete.fetch_all(&self.pool).await?.is_empty())
    }

    async fn replay(&self, key: &str) -> sqlx::Result<Option<Vec<u8>>> {
        self.row(key).await?.try_get("payload")
    }
}

#[derive(Clone)]
struct ByHand {
    pool: PgPool,
    complete: &'static str,
}

impl ByHand {
    /// Those that tell waiters of what they complete, or that do not.
    fn new(pool: &PgPool, telling: bool) -> Self {
        Self { pool: pool.clone(), complete: if telling { COMPLETE_AND_TELL } else { COMPLETE } }
    }
}

const CLAIM: &str = "
    WITH asked AS MATERIALIZED (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms),
    won AS (
        INSERT INTO idempotency_records
            (key, version, status, owner, fence, recovered, fingerprint, on_crash, lease_ms, ttl_ms, lease_until, expires_at, purge_after)
        SELECT $1, 1, 'processing', $2, 1, 0, $3, 'retry', $4, $5, now_ms + $4, now_ms + $4 + $5, now_ms + $5
        FROM asked
        ON CONFLICT (key) DO NOTHING RETURNING key)
    SELECT w.key IS NOT NULL, a.now_ms, r.*
    FROM asked AS a LEFT JOIN won AS w ON true
    LEFT JOIN idempotency_records AS r ON r.key = $1 AND w.key IS NULL";

macro_rules! complete {
    ($returning:literal) => {
        concat!(
            "WITH asked AS MATERIALIZED (SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint AS now_ms)
             UPDATE idempotency_records AS r
             SET status = 'completed', finished_at = a.now_ms, expires_at = a.now_ms + $3, codec = 'json', payload = $4, size = $5
             FROM asked AS a
             WHERE r.key = $1 AND r.owner = $2 AND r.status = 'processing' AND r.expires_at > a.now_ms
             RETURNING ",
            $returning
        )
    };
}

const COMPLETE: &str = complete!("1");
const COMPLETE_AND_TELL: &str = complete!("pg_notify('finished', r.key)");

impl Bare for ByHand {
    async fn claim(&self, key: &str) -> sqlx::Result<bool> {
        let row = claim(key).fetch_one(&self.pool).await?;
        row.try_get(0)
    }

    async fn complete(&self, key: &str) -> sqlx::Result<bool> {
        let complete = query(self.complete)
            .bind(key)
            .bind(&OWNER[..])
            .bind(ttl_ms())
            .bind(&RESULT[..])
            .bind(SIZE);
        Ok(complete.fetch_optional(&self.pool).await?.is_some())
    }

    async fn replay(&self, key: &str) -> sqlx::Result<Option<Vec<u8>>> {
        let row = claim(key).fetch_one(&self.pool).await?;
        row.try_get("payload")
    }
}

fn claim(key: &str) -> Query<'_, Postgres, PgArguments> {
    query(CLAIM).bind(key).bind(&OWNER[..]).bind(&FINGERPRINT[..]).bind(LEASE_MS).bind(ttl_ms())
}

/// Transactions get an id when they write.
struct Server {
    server: SqlServer,
    pool: PgPool,
}

impl Database for Server {
    fn commits(&self, runtime: &Runtime) -> anyhow::Result<u64> {
        let next = "SELECT pg_snapshot_xmax(pg_current_snapshot())::text";
        let next: String = runtime.block_on(query_scalar(next).fetch_one(&self.pool))?;
        Ok(next.parse()?)
    }
    fn bytes(&self, runtime: &Runtime) -> anyhow::Result<u64> {
        let size = query_scalar("SELECT pg_total_relation_size('idempotency_records')");
        let size: i64 = runtime.block_on(size.fetch_one(&self.pool))?;
        Ok(u64::try_from(size)?)
    }

    fn processes(&self) -> Vec<u32> {
        self.server.pids()
    }
}
