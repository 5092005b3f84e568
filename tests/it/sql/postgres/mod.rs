//! The Postgres storage against a real server.

mod conformance;
mod errors;
mod plans;
mod pools;
mod tables;
mod verbs;

use crate::stage;
use idem_runtime::storage::PostgresStorage;
use sqlx::PgPool;
use testkit::sql::{Product, shared};

/// A new database with the tables in it: its address, the storage, and a way past it.
async fn database() -> (String, PostgresStorage, PgPool) {
    let url = shared(Product::Postgres).new_database();
    let storage = stage::postgres(&url).await;
    storage.migrate().await.unwrap();
    let direct = PgPool::connect(&url).await.unwrap();
    (url, storage, direct)
}
