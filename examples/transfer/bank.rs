//! The bank's accounts, in the application's own pool and in the words of each database.

use std::str::FromStr;

use idempotency::sqlx::pool::PoolOptions;
use idempotency::sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool};
use idempotency::sqlx::{self, PgPool, Pool, Postgres, Sqlite, Transaction};
use idempotency::storage::{PostgresStorage, SharedStorage, SqliteStorage};
use idempotency::transaction::TransactionDatabase;

/// A database that a bank can be in.
pub(crate) trait Bank: TransactionDatabase {
    /// The application's pool, with its table.
    fn open(url: &str) -> impl Future<Output = anyhow::Result<Pool<Self>>>;

    /// The records, in the same database.
    fn records(pool: &Pool<Self>) -> impl Future<Output = anyhow::Result<SharedStorage>>;

    /// A transaction that is going to write.
    fn begin(
        pool: &Pool<Self>,
    ) -> impl Future<Output = sqlx::Result<Transaction<'static, Self>>> + Send;

    /// Puts so much on an account, and says what is on it then.
    fn change(
        connection: &mut Self::Connection,
        account: &str,
        cents: i64,
    ) -> impl Future<Output = sqlx::Result<i64>> + Send;

    /// Opens an account with so much on it.
    fn credit(
        pool: &Pool<Self>,
        account: &str,
        cents: i64,
    ) -> impl Future<Output = sqlx::Result<()>>;

    /// What is on an account.
    fn balance(pool: &Pool<Self>, account: &str) -> impl Future<Output = sqlx::Result<i64>>;
}

const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS accounts (name TEXT PRIMARY KEY, cents BIGINT NOT NULL)";

macro_rules! bank {
    ($database:ty, $pool:ty, $storage:ty, $begin:literal, |$url:ident| $connect:expr) => {
        impl Bank for $database {
            async fn open($url: &str) -> anyhow::Result<$pool> {
                let pool: $pool = $connect;
                sqlx::query(TABLE).execute(&pool).await?;
                Ok(pool)
            }

            async fn records(pool: &$pool) -> anyhow::Result<SharedStorage> {
                let storage = <$storage>::new(pool.clone());
                storage.migrate().await?;
                Ok(SharedStorage::new(storage))
            }

            async fn begin(pool: &$pool) -> sqlx::Result<Transaction<'static, Self>> {
                pool.begin_with($begin).await
            }

            async fn change(
                connection: &mut Self::Connection,
                account: &str,
                cents: i64,
            ) -> sqlx::Result<i64> {
                let update =
                    "UPDATE accounts SET cents = cents + $1 WHERE name = $2 RETURNING cents";
                sqlx::query_scalar(update).bind(cents).bind(account).fetch_one(connection).await
            }

            async fn credit(pool: &$pool, account: &str, cents: i64) -> sqlx::Result<()> {
                let insert = "INSERT INTO accounts VALUES ($1, $2)";
                sqlx::query(insert).bind(account).bind(cents).execute(pool).await?;
                Ok(())
            }

            async fn balance(pool: &$pool, account: &str) -> sqlx::Result<i64> {
                let balance = "SELECT cents FROM accounts WHERE name = $1";
                sqlx::query_scalar(balance).bind(account).fetch_one(pool).await
            }
        }
    };
}

bank!(Postgres, PgPool, PostgresStorage, "BEGIN", |url| {
    PoolOptions::new().max_connections(8).connect(url).await?
});

// One transaction writes at a time: one that says so when it begins waits for its turn there.
bank!(Sqlite, SqlitePool, SqliteStorage, "BEGIN IMMEDIATE", |url| {
    let options = SqliteConnectOptions::from_str(url)?.create_if_missing(true);
    let options = options.journal_mode(SqliteJournalMode::Wal);
    PoolOptions::new().max_connections(8).connect_with(options).await?
});
