//! A database of a test's own, whichever it is.

use std::sync::Arc;

use crate::stage::{self, BUSY};
use idem_runtime::Idempotency;
use idem_runtime::storage::sql::{MYSQL_SCHEMA, POSTGRES_SCHEMA, SQLITE_SCHEMA};
use idem_runtime::storage::{
    MySqlStorage, PostgresStorage, SharedStorage, SqliteStorage, StorageError,
};
use sqlx::{AssertSqlSafe, SqlitePool};
use tempfile::TempDir;
use testkit::sql::{Product, query, shared};

/// Makes a test on every database of each function named.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::sql::own::Kind::Postgres).await;
            })*
        }

        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::sql::own::Kind::MySql).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::sql::own::Kind::Sqlite).await;
            })*
        }
    };
}
pub(super) use on_every_database;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Postgres,
    MySql,
    Sqlite,
}

impl Kind {
    /// The documented statements that make the tables.
    pub(super) fn schema(self) -> &'static str {
        match self {
            Self::Postgres => POSTGRES_SCHEMA,
            Self::MySql => MYSQL_SCHEMA,
            Self::Sqlite => SQLITE_SCHEMA,
        }
    }
}

/// A database. Clones are the same one.
#[derive(Clone)]
pub(super) struct Database {
    pub(super) kind: Kind,
    pub(super) url: String,
    _dir: Arc<TempDir>,
}

impl Database {
    /// One without tables.
    pub(super) fn empty(kind: Kind) -> Self {
        let dir = TempDir::new().unwrap();
        let url = match kind {
            Kind::Postgres => shared(Product::Postgres).new_database(),
            Kind::MySql => shared(Product::MySql).new_database(),
            Kind::Sqlite => format!("sqlite://{}", dir.path().join("records.db").display()),
        };
        Self { kind, url, _dir: Arc::new(dir) }
    }

    /// One with tables.
    pub(super) async fn migrated(kind: Kind) -> Self {
        let database = Self::empty(kind);
        database.migrate().await.unwrap();
        database
    }

    pub(super) async fn migrate(&self) -> Result<(), StorageError> {
        match self.kind {
            Kind::Postgres => {
                PostgresStorage::builder()
                    .connection_timeout(BUSY)
                    .connect(&self.url)
                    .await?
                    .migrate()
                    .await
            }
            Kind::MySql => {
                MySqlStorage::builder()
                    .connection_timeout(BUSY)
                    .connect(&self.url)
                    .await?
                    .migrate()
                    .await
            }
            Kind::Sqlite => SqliteStorage::connect(&self.url).await?.migrate().await,
        }
    }

    /// A storage on connections of its own.
    pub(super) async fn storage(&self) -> SharedStorage {
        match self.kind {
            Kind::Postgres => SharedStorage::new(stage::postgres(&self.url).await),
            Kind::MySql => SharedStorage::new(stage::mysql(&self.url).await),
            Kind::Sqlite => SharedStorage::new(SqliteStorage::connect(&self.url).await.unwrap()),
        }
    }

    pub(super) async fn handle(&self) -> Idempotency {
        Idempotency::new(self.storage().await).unwrap()
    }

    /// Runs statements of the test's own, and gives the rows of the last as text where there is a server.
    pub(super) async fn run(&self, sql: &str) -> String {
        if self.kind != Kind::Sqlite {
            return query(&self.url, sql).unwrap_or_else(|error| panic!("{sql}: {error}"));
        }
        let pool = SqlitePool::connect(&format!("{}?mode=rwc", self.url)).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&pool).await.unwrap();
        pool.close().await;
        String::new()
    }

    /// Rows of the records' table.
    pub(super) async fn rows(&self) -> i64 {
        let count = "SELECT count(*) FROM idempotency_records";
        if self.kind != Kind::Sqlite {
            return self.run(count).await.parse().unwrap();
        }
        let pool = SqlitePool::connect(&self.url).await.unwrap();
        let rows = sqlx::query_scalar(count).fetch_one(&pool).await.unwrap();
        pool.close().await;
        rows
    }
}
