//! The SQLite storage on files and in memory.

mod conformance;
mod files;
mod verbs;

use idem_runtime::storage::SqliteStorage;
use sqlx::SqlitePool;
use tempfile::TempDir;

/// A new file with the tables in it: its folder and address, the storage, and a way past it.
async fn database() -> (TempDir, String, SqliteStorage, SqlitePool) {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("records.db").display());
    let storage = SqliteStorage::connect(&url).await.unwrap();
    storage.migrate().await.unwrap();
    let direct = SqlitePool::connect(&url).await.unwrap();
    (dir, url, storage, direct)
}
