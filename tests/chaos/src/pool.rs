//! The application's own pool, which it shares with the storage: small, held by bodies, and misused by callers that go away.

use std::any::Any;
use std::str::FromStr;
use std::time::Duration;

use fastrand::Rng;
use idem_runtime::storage::{
    MySqlStorage, PostgresStorage, SharedStorage, SqliteStorage, StorageError,
};
use sqlx::pool::PoolOptions;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Database, MySqlPool, PgPool, Pool, SqlitePool};
use tokio::time::timeout;

/// Fewer connections than a worker has callers.
const CONNECTIONS: u32 = 2;

/// How long a body waits for a connection: without one it goes on all the same.
const PATIENCE: Duration = Duration::from_millis(300);

/// A pool, where the storage is a database.
#[derive(Clone, Debug)]
pub enum Shared {
    /// There is none.
    None,
    /// Of Postgres.
    Postgres(PgPool),
    /// Of MySQL or MariaDB.
    MySql(MySqlPool),
    /// Of SQLite.
    Sqlite(SqlitePool),
}

impl Shared {
    /// The pool for a storage at this address. Nothing is connected yet.
    ///
    /// # Panics
    ///
    /// When the address makes no sense.
    pub fn at(url: &str) -> Self {
        match url.split(':').next() {
            Some("postgres") => Self::Postgres(small(url)),
            Some("mysql") => Self::MySql(small(url)),
            Some("sqlite") => {
                let options = SqliteConnectOptions::from_str(url).expect("the address makes sense");
                Self::Sqlite(limits().connect_lazy_with(options.create_if_missing(true)))
            }
            _ => Self::None,
        }
    }

    /// A storage made from the pool, where there is one.
    ///
    /// # Errors
    ///
    /// As the storage has them.
    pub async fn storage(&self) -> Result<Option<SharedStorage>, StorageError> {
        Ok(Some(match self {
            Self::None => return Ok(None),
            Self::Postgres(pool) => SharedStorage::new(PostgresStorage::new(pool.clone())),
            Self::MySql(pool) => SharedStorage::new(MySqlStorage::new(pool.clone())),
            Self::Sqlite(pool) => {
                let storage = SqliteStorage::new(pool.clone());
                storage.migrate().await?;
                SharedStorage::new(storage)
            }
        }))
    }

    /// A connection, for as long as a body runs.
    pub async fn hold(&self) -> Option<Box<dyn Any + Send>> {
        match self {
            Self::None => None,
            Self::Postgres(pool) => acquire(pool).await,
            Self::MySql(pool) => acquire(pool).await,
            Self::Sqlite(pool) => acquire(pool).await,
        }
    }

    /// Begins a transaction and goes away, so that its connection may come back into the pool inside of it.
    pub async fn give_up_a_begin(&self, rng: &mut Rng) {
        let soon = Duration::from_micros(rng.u64(..1500));
        match self {
            Self::None | Self::Sqlite(_) => {}
            Self::Postgres(pool) => drop(timeout(soon, pool.begin()).await),
            Self::MySql(pool) => drop(timeout(soon, pool.begin()).await),
        }
    }
}

fn small<DB: Database>(url: &str) -> Pool<DB> {
    limits().connect_lazy(url).expect("the address makes sense")
}

fn limits<DB: Database>() -> PoolOptions<DB> {
    PoolOptions::new().max_connections(CONNECTIONS)
}

async fn acquire<DB: Database>(pool: &Pool<DB>) -> Option<Box<dyn Any + Send>> {
    match timeout(PATIENCE, pool.acquire()).await {
        Ok(Ok(connection)) => Some(Box::new(connection)),
        _ => None,
    }
}
