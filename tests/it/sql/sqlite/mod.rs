//! The SQLite storage on files and in memory.

mod conformance;
mod files;
mod verbs;

use idem_runtime::RecordKey;
use idem_runtime::storage::SqliteStorage;
use sqlx::SqlitePool;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use super::differential::{self, EARLIER};

/// A new file with the tables in it: its folder and address, the storage, and a way past it.
async fn database() -> (TempDir, String, SqliteStorage, SqlitePool) {
    let dir = TempDir::new().unwrap();
    let url = format!("sqlite://{}", dir.path().join("records.db").display());
    let storage = SqliteStorage::connect(&url).await.unwrap();
    storage.migrate().await.unwrap();
    let direct = SqlitePool::connect(&url).await.unwrap();
    (dir, url, storage, direct)
}

struct Compared(SqliteStorage, SqlitePool);

impl differential::Database for Compared {
    type Storage = SqliteStorage;

    fn storage(&self) -> &SqliteStorage {
        &self.0
    }

    async fn pass(&self, key: &RecordKey, millis: i64) {
        let key = key.as_str().to_owned();
        sqlx::query(EARLIER).bind(millis).bind(key).execute(&self.1).await.unwrap();
    }
}

#[test]
fn statements_answer_as_the_state_machine_does() {
    let runtime = Runtime::new().unwrap();
    let (_dir, _, storage, direct) = runtime.block_on(database());
    differential::compare(&runtime, &Compared(storage, direct));
}
