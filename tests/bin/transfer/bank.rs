//! The bank's tables, in the words of each database.

use std::time::Duration;

use idem_runtime::storage::{MySqlStorage, PostgresStorage, SharedStorage, SqliteStorage};
use idem_runtime::transaction::TransactionDatabase;
use sqlx::pool::PoolOptions;
use sqlx::{AssertSqlSafe, MySql, Pool, Postgres, Sqlite, Transaction};

/// Short, so that a connection that was cut costs little.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) trait Bank: TransactionDatabase {
    fn connect(url: &str) -> impl Future<Output = Pool<Self>>;

    fn storage(pool: &Pool<Self>) -> SharedStorage;

    fn begin(pool: &Pool<Self>) -> impl Future<Output = sqlx::Result<Transaction<'static, Self>>>;

    fn run(
        connection: &mut Self::Connection,
        sql: String,
    ) -> impl Future<Output = sqlx::Result<()>>;

    /// Puts so much on an account.
    async fn change(
        connection: &mut Self::Connection,
        account: u32,
        cents: i64,
    ) -> sqlx::Result<()> {
        let update = format!("UPDATE accounts SET cents = cents + {cents} WHERE id = {account}");
        Self::run(connection, update).await
    }

    /// Notes an execution. Nothing but what is under test keeps it from being noted twice.
    async fn note(connection: &mut Self::Connection, id: &str) -> sqlx::Result<()> {
        Self::run(connection, format!("INSERT INTO transfers VALUES ('{id}')")).await
    }
}

macro_rules! bank {
    ($database:ty, $begin:literal, |$pool:ident| $storage:expr) => {
        impl Bank for $database {
            async fn connect(url: &str) -> Pool<Self> {
                // One connection: what is killed with it is all that there is of this process.
                let options = PoolOptions::<Self>::new().max_connections(2);
                options.connect_lazy(url).expect("the address can be read")
            }

            fn storage($pool: &Pool<Self>) -> SharedStorage {
                SharedStorage::new($storage)
            }

            async fn begin(pool: &Pool<Self>) -> sqlx::Result<Transaction<'static, Self>> {
                pool.begin_with($begin).await
            }

            async fn run(connection: &mut Self::Connection, sql: String) -> sqlx::Result<()> {
                sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
            }
        }
    };
}

bank!(Postgres, "BEGIN", |pool| {
    let storage = PostgresStorage::builder().response_timeout(RESPONSE_TIMEOUT);
    storage.build(pool.clone()).expect("the options can be used")
});

bank!(MySql, "START TRANSACTION", |pool| {
    let storage = MySqlStorage::builder().response_timeout(RESPONSE_TIMEOUT);
    storage.build(pool.clone()).expect("the options can be used")
});

bank!(Sqlite, "BEGIN IMMEDIATE", |pool| SqliteStorage::new(pool.clone()));
