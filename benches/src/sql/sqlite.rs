//! SQLite in a file.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Context as _;
use idempotency::Idempotency;
use idempotency::storage::SqliteStorage;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Row as _, Sqlite, query, query_scalar};
use tokio::runtime::Runtime;

use super::bare::{
    Bare, FINGERPRINT, LEASE_MS, OWNER, RESULT, SIZE, again, claim_again, complete_again, ttl_ms,
};
use super::database::Database;
use super::{Bench, CONNECTIONS, Promised, statements};
use crate::report::Row;
use crate::sampling::Sampling;

pub(super) fn measure(sampling: &mut Sampling<'_>, callers: &[usize]) -> anyhow::Result<Vec<Row>> {
    let runtime = sampling.runtime;
    let dir = tempfile::tempdir()?;
    let options = SqliteConnectOptions::new()
        .filename(dir.path().join("records.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full);
    let commits = Arc::default();
    let pool = counting(&commits, SqlitePoolOptions::new());
    let pool = pool.max_connections(CONNECTIONS).test_before_acquire(false);
    let pool = runtime.block_on(pool.connect_with(options))?;
    let storage = SqliteStorage::new(pool.clone());
    runtime.block_on(storage.migrate())?;
    let promised = Promised { fresh: 5.0, replay: Some(1.5) };
    let idem = Idempotency::new(storage)?;
    let seen = statements(runtime, &idem);
    let [look, claim, complete] = seen.try_into().ok().context("three statements")?;
    let same = Same { pool: pool.clone(), look, claim, complete };
    let (by_hand, file) = (ByHand(pool.clone()), File { pool, commits });
    Bench::new("sqlite", idem, same, by_hand, file, promised).measure(sampling, callers)
}

#[derive(Clone)]
struct Same {
    pool: SqlitePool,
    look: Arc<str>,
    claim: Arc<str>,
    complete: Arc<str>,
}

impl Bare for Same {
    async fn claim(&self, key: &str) -> sqlx::Result<bool> {
        if self.replay(key).await?.is_some() {
            return Ok(false);
        }
        let claim = claim_again::<Sqlite>(&self.claim, key);
        Ok(!claim.fetch_all(&self.pool).await?.is_empty())
    }

    async fn complete(&self, key: &str) -> sqlx::Result<bool> {
        let complete = complete_again::<Sqlite>(&self.complete, key);
        Ok(!complete.fetch_all(&self.pool).await?.is_empty())
    }

    async fn replay(&self, key: &str) -> sqlx::Result<Option<Vec<u8>>> {
        let mut rows = again::<Sqlite>(&self.look).bind(key).fetch_all(&self.pool).await?;
        rows.pop().map_or(Ok(None), |row| row.try_get("payload"))
    }
}

#[derive(Clone)]
struct ByHand(SqlitePool);

const CLAIM: &str = "
    WITH asked AS (SELECT CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER) AS now_ms)
    INSERT INTO idempotency_records
        (key, version, status, owner, fence, recovered, fingerprint, on_crash, lease_ms, ttl_ms, lease_until, expires_at, purge_after)
    SELECT ?1, 1, 'processing', ?2, 1, 0, ?3, 'retry', ?4, ?5, now_ms + ?4, now_ms + ?4 + ?5, now_ms + ?5
    FROM asked WHERE true
    ON CONFLICT (key) DO NOTHING RETURNING fence";

const COMPLETE: &str = "
    UPDATE idempotency_records AS r
    SET status = 'completed', finished_at = a.now_ms, expires_at = a.now_ms + ?3, codec = 'json', payload = ?4, size = ?5
    FROM (SELECT CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER) AS now_ms) AS a
    WHERE r.key = ?1 AND r.owner = ?2 AND r.status = 'processing' AND r.expires_at > a.now_ms
    RETURNING 1";

/// A replay writes nothing, so that it does not wait for those who do.
const LOOK: &str = "SELECT payload, status, finished_at FROM idempotency_records
    WHERE key = ? AND expires_at > CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)";

impl Bare for ByHand {
    async fn claim(&self, key: &str) -> sqlx::Result<bool> {
        let claim = query(CLAIM)
            .bind(key)
            .bind(&OWNER[..])
            .bind(&FINGERPRINT[..])
            .bind(LEASE_MS)
            .bind(ttl_ms());
        Ok(claim.fetch_optional(&self.0).await?.is_some())
    }

    async fn complete(&self, key: &str) -> sqlx::Result<bool> {
        let complete =
            query(COMPLETE).bind(key).bind(&OWNER[..]).bind(ttl_ms()).bind(&RESULT[..]).bind(SIZE);
        Ok(complete.fetch_optional(&self.0).await?.is_some())
    }

    async fn replay(&self, key: &str) -> sqlx::Result<Option<Vec<u8>>> {
        query_scalar(LOOK).bind(key).fetch_optional(&self.0).await
    }
}

/// The file, and how many commits there were.
struct File {
    pool: SqlitePool,
    commits: Arc<AtomicU64>,
}

/// SQLite calls a hook at each commit of something written.
fn counting(commits: &Arc<AtomicU64>, options: SqlitePoolOptions) -> SqlitePoolOptions {
    let commits = Arc::clone(commits);
    options.after_connect(move |connection, _| {
        let commits = Arc::clone(&commits);
        Box::pin(async move {
            connection.lock_handle().await?.set_commit_hook(move || {
                commits.fetch_add(1, Ordering::SeqCst);
                true
            });
            Ok(())
        })
    })
}

impl Database for File {
    fn commits(&self, _: &Runtime) -> anyhow::Result<u64> {
        Ok(self.commits.load(Ordering::SeqCst))
    }

    fn bytes(&self, runtime: &Runtime) -> anyhow::Result<u64> {
        let size = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let size: i64 = runtime.block_on(query_scalar(size).fetch_one(&self.pool))?;
        Ok(u64::try_from(size)?)
    }

    fn processes(&self) -> Vec<u32> {
        Vec::new()
    }
}
