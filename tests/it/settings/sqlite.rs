//! SQLite, whose settings are the file's and its connections'.

use futures_util::future::{BoxFuture, FutureExt};
use idem_runtime::storage::{SharedStorage, SqliteStorage, StorageError};
use idempotency::outbox::Outbox;
use sqlx::{Sqlite, SqlitePool};
use tempfile::TempDir;

use super::callers::Callers;
use super::database::{EFFECTS, Options, Setting, Sql, play};
use super::matrix::judge;

impl Sql for Sqlite {
    fn on_pool(pool: SqlitePool, _: &Options) -> Result<SharedStorage, StorageError> {
        Ok(SharedStorage::new(SqliteStorage::new(pool)))
    }

    fn at(url: String, _: Options) -> BoxFuture<'static, Result<SharedStorage, StorageError>> {
        async move { Ok(SharedStorage::new(SqliteStorage::connect(url).await?)) }.boxed()
    }
}

/// A file with tables.
async fn file(dir: &TempDir, name: &str) -> String {
    let url = format!("sqlite://{}", dir.path().join(name).display());
    SqliteStorage::connect(&url).await.unwrap().migrate().await.unwrap();
    let pool = SqlitePool::connect(&url).await.unwrap();
    Outbox::new(pool.clone()).migrate().await.unwrap();
    sqlx::raw_sql(EFFECTS).execute(&pool).await.unwrap();
    pool.close().await;
    url
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_is_right_or_refuses_in_every_setting() {
    let dir = TempDir::new().unwrap();
    let url = file(&dir, "records.db").await;
    let plain = |name| Setting::new(name, &url, &url);
    let reading = format!("{url}?mode=ro");
    let settings = [
        plain("a file"),
        Setting { connections: 1, ..plain("pool of one") },
        Setting { callers: Callers::Two, ..plain("two runtimes") },
        Setting { callers: Callers::Frozen, ..plain("frozen runtime") },
        Setting::new("read-only file", &url, &reading).refused("read-only"),
    ];
    let mut rows = Vec::new();
    for setting in settings {
        rows.push(play::<Sqlite>(setting).await);
    }
    judge("SQLite", &rows);
}
