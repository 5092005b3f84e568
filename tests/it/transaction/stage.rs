//! A database with records and accounts in it, of the test's own.

use futures_util::future::BoxFuture;
use idem_runtime::storage::{MySqlStorage, PostgresStorage, SharedStorage, SqliteStorage};
use idem_runtime::transaction::TransactionDatabase;
use idem_runtime::{Error, Idempotency};
use sqlx::{MySql, MySqlPool, PgPool, Pool, Postgres, Sqlite, SqlitePool};
use tempfile::TempDir;

use crate::outbox::stage as outbox;

/// Makes a test on every database of each function named.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::Postgres>($crate::transaction::stage::Stage::new().await).await;
            })*
        }

        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::MySql>($crate::transaction::stage::Stage::new().await).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::Sqlite>($crate::transaction::stage::Stage::new().await).await;
            })*
        }
    };
}
pub(super) use on_every_database;

/// A database, as far as these tests differ in it.
pub(super) trait Db: outbox::Db + TransactionDatabase {
    /// Its storage on this pool, with its tables.
    fn storage(pool: &Pool<Self>) -> BoxFuture<'_, SharedStorage>;
}

macro_rules! database {
    ($database:ty, $pool:ty, $storage:ty) => {
        impl Db for $database {
            fn storage(pool: &$pool) -> BoxFuture<'_, SharedStorage> {
                Box::pin(async move {
                    let storage = <$storage>::new(pool.clone());
                    storage.migrate().await.unwrap();
                    SharedStorage::new(storage)
                })
            }
        }
    };
}

database!(Postgres, PgPool, PostgresStorage);
database!(MySql, MySqlPool, MySqlStorage);
database!(Sqlite, SqlitePool, SqliteStorage);

/// What a [`sqlx::Transaction`] of any database is to a generic test.
pub(super) type Tx<'t, DB> = sqlx::Transaction<'t, DB>;

pub(super) struct Stage<DB: Db> {
    pub(super) url: String,
    pub(super) pool: Pool<DB>,
    pub(super) idem: Idempotency,
    _dir: TempDir,
}

impl<DB: Db> Stage<DB> {
    pub(super) async fn new() -> Self {
        // What `PRAGMA` sets in a file stays there.
        Self::with_journal("WAL").await
    }

    /// SQLite with a journal in which readers and the writer wait for each other.
    pub(super) async fn without_wal() -> Self {
        Self::with_journal("DELETE").await
    }

    async fn with_journal(journal: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let url = DB::new_database(&dir);
        let pool = outbox::pool::<DB>(&url).await;
        let mut connection = pool.acquire().await.unwrap();
        if DB::NAME == "SQLite" {
            let mode = format!("PRAGMA journal_mode = {journal}");
            DB::run(&mut connection, mode).await.unwrap();
        }
        let accounts =
            "CREATE TABLE accounts (name VARCHAR(40) PRIMARY KEY, balance BIGINT NOT NULL)";
        DB::run(&mut connection, accounts.to_owned()).await.unwrap();
        let alice = "INSERT INTO accounts VALUES ('alice', 0)";
        DB::run(&mut connection, alice.to_owned()).await.unwrap();
        drop(connection);
        let idem = Idempotency::new(DB::storage(&pool).await).unwrap();
        Self { url, pool, idem, _dir: dir }
    }

    /// The handle as another process has it.
    pub(super) async fn elsewhere(&self) -> (Pool<DB>, Idempotency) {
        let pool = outbox::pool::<DB>(&self.url).await;
        let idem = Idempotency::new(DB::storage(&pool).await).unwrap();
        (pool, idem)
    }

    pub(super) async fn begin(&self) -> Tx<'static, DB> {
        self.pool.begin().await.unwrap()
    }

    pub(super) async fn run(&self, sql: &str) {
        let mut connection = self.pool.acquire().await.unwrap();
        DB::run(&mut connection, sql.to_owned()).await.unwrap();
    }

    pub(super) async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.pool.acquire().await.unwrap();
        DB::number(&mut connection, sql.to_owned()).await.unwrap()
    }

    /// What everybody sees of alice's account.
    pub(super) async fn balance(&self) -> i64 {
        self.number("SELECT balance FROM accounts WHERE name = 'alice'").await
    }

    /// Records that everybody sees.
    pub(super) async fn records(&self) -> i64 {
        self.number("SELECT count(*) FROM idempotency_records").await
    }
}

/// Why a deposit was not made.
#[derive(Debug)]
pub(super) enum Failed {
    Declined,
    Database(sqlx::Error),
    Idempotency(Error),
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Declined => f.write_str("the card was declined"),
            Self::Database(error) => write!(f, "{error}"),
            Self::Idempotency(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for Failed {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Declined => None,
            Self::Database(error) => Some(error),
            Self::Idempotency(error) => Some(error),
        }
    }
}

impl From<sqlx::Error> for Failed {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error)
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Idempotency(error)
    }
}

impl Failed {
    /// The library's error.
    pub(super) fn ours(self) -> Error {
        match self {
            Self::Idempotency(error) => error,
            other => panic!("{other:?}"),
        }
    }
}

/// The effect of most tests: alice gets some more, and what she has then is the result.
pub(super) async fn deposit<DB: Db>(
    connection: &mut DB::Connection,
    amount: i64,
) -> sqlx::Result<i64> {
    let update = format!("UPDATE accounts SET balance = balance + {amount} WHERE name = 'alice'");
    DB::run(connection, update).await?;
    DB::number(connection, "SELECT balance FROM accounts WHERE name = 'alice'".to_owned()).await
}
