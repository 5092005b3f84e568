//! The Postgres storage against a real server.

mod conformance;
mod errors;
mod tables;
mod verbs;

use idem_runtime::RecordKey;
use idem_runtime::storage::PostgresStorage;
use sqlx::PgPool;
use testkit::sql::{Product, shared};
use tokio::runtime::Runtime;

use super::differential::{self, EARLIER};

/// A new database with the tables in it: its address, the storage, and a way past it.
async fn database() -> (String, PostgresStorage, PgPool) {
    let url = shared(Product::Postgres).new_database();
    let storage = PostgresStorage::connect(&url).await.unwrap();
    storage.migrate().await.unwrap();
    let direct = PgPool::connect(&url).await.unwrap();
    (url, storage, direct)
}

struct Compared(PostgresStorage, PgPool);

impl differential::Database for Compared {
    type Storage = PostgresStorage;

    fn storage(&self) -> &PostgresStorage {
        &self.0
    }

    async fn pass(&self, key: &RecordKey, millis: i64) {
        sqlx::query(EARLIER).bind(millis).bind(key.as_str()).execute(&self.1).await.unwrap();
    }
}

#[test]
fn statements_answer_as_the_state_machine_does() {
    let runtime = Runtime::new().unwrap();
    let (_, storage, direct) = runtime.block_on(database());
    differential::compare(&runtime, &Compared(storage, direct));
}
