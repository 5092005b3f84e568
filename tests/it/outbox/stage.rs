//! What a test of the outbox stands on: a database of its own.

use std::time::Duration;

use futures_util::future::BoxFuture;
use idempotency::outbox::{EventId, Outbox, OutboxDatabase, OutboxError, Publisher, Relay};
use sqlx::{AssertSqlSafe, Connection, MySql, Pool, Postgres, Row, Sqlite};
use tempfile::TempDir;
use testkit::sql::Product;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::stage::{PATIENCE, in_time};

/// Makes a test on every database of each function named.
macro_rules! on_every_database {
    ($($name:ident),* $(,)?) => {
        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::Postgres>($crate::outbox::stage::Stage::new().await).await;
            })*
        }

        mod on_mysql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::MySql>($crate::outbox::stage::Stage::new().await).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name::<sqlx::Sqlite>($crate::outbox::stage::Stage::new().await).await;
            })*
        }
    };
}
pub(crate) use on_every_database;

/// A database, as far as tests differ in it.
pub(crate) trait Db: OutboxDatabase {
    /// The address of a new and empty database, which may live in the folder.
    fn new_database(dir: &TempDir) -> String;

    /// Statements of the test's own.
    fn run(connection: &mut Self::Connection, sql: String) -> BoxFuture<'_, sqlx::Result<()>>;

    /// A number that a query gives.
    fn number(connection: &mut Self::Connection, sql: String) -> BoxFuture<'_, sqlx::Result<i64>>;

    /// The statements of the documented schema.
    const SCHEMA: &'static str;

    /// A statement's name for this moment, in milliseconds since the Unix epoch.
    const NOW: &'static str;
}

macro_rules! database {
    ($database:ty, $schema:expr, $now:literal, |$dir:ident| $url:expr) => {
        impl Db for $database {
            fn new_database($dir: &TempDir) -> String {
                $url
            }

            fn run(
                connection: &mut Self::Connection,
                sql: String,
            ) -> BoxFuture<'_, sqlx::Result<()>> {
                Box::pin(async move {
                    sqlx::raw_sql(AssertSqlSafe(sql)).execute(connection).await.map(drop)
                })
            }

            fn number(
                connection: &mut Self::Connection,
                sql: String,
            ) -> BoxFuture<'_, sqlx::Result<i64>> {
                Box::pin(async move {
                    sqlx::query(AssertSqlSafe(sql)).fetch_one(connection).await?.try_get(0)
                })
            }

            const SCHEMA: &'static str = $schema;
            const NOW: &'static str = $now;
        }
    };
}

database!(
    Postgres,
    idempotency::outbox::POSTGRES_SCHEMA,
    "floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint",
    |_dir| testkit::sql::shared(Product::Postgres).new_database()
);
database!(
    MySql,
    idempotency::outbox::MYSQL_SCHEMA,
    "TIMESTAMPDIFF(MICROSECOND, TIMESTAMP'1970-01-01 00:00:00', UTC_TIMESTAMP(3)) DIV 1000",
    |_dir| testkit::sql::shared(Product::MySql).new_database()
);
database!(
    Sqlite,
    idempotency::outbox::SQLITE_SCHEMA,
    "CAST(round(unixepoch('now', 'subsec') * 1000) AS INTEGER)",
    |dir| format!("sqlite://{}?mode=rwc", dir.path().join("outbox.db").display())
);

/// A database with an outbox in it, of the test's own.
pub(crate) struct Stage<DB: Db> {
    pub(crate) url: String,
    pub(crate) pool: Pool<DB>,
    pub(crate) outbox: Outbox<DB>,
    _dir: TempDir,
}

impl<DB: Db> Stage<DB> {
    pub(crate) async fn new() -> Self {
        let stage = Self::without_table().await;
        // What `PRAGMA` sets in a file stays there. Without it readers and the writer wait for each other.
        if DB::NAME == "SQLite" {
            stage.run("PRAGMA journal_mode = WAL").await;
        }
        stage.outbox.migrate().await.unwrap();
        stage
    }

    pub(crate) async fn without_table() -> Self {
        let dir = TempDir::new().unwrap();
        let url = DB::new_database(&dir);
        let pool = pool(&url).await;
        let outbox = Outbox::new(pool.clone());
        Self { url, pool, outbox, _dir: dir }
    }

    /// The outbox as another process has it: on connections of its own.
    pub(crate) async fn elsewhere(&self) -> Outbox<DB> {
        outbox_at(&self.url).await
    }

    /// Enqueues an event in a transaction of its own.
    pub(crate) async fn enqueue(&self, topic: &str, key: &str, number: usize) -> EventId {
        let mut tx = self.pool.begin().await.unwrap();
        let id = self.outbox.enqueue(&mut tx, topic, key, &number).await.unwrap();
        tx.commit().await.unwrap();
        id
    }

    /// Enqueues events of one key in one transaction, with the numbers from 0.
    pub(crate) async fn enqueue_many(&self, topic: &str, key: &str, count: usize) -> Vec<EventId> {
        let mut tx = self.pool.begin().await.unwrap();
        let mut ids = Vec::new();
        for number in 0..count {
            ids.push(self.outbox.enqueue(&mut tx, topic, key, &number).await.unwrap());
        }
        tx.commit().await.unwrap();
        ids
    }

    pub(crate) async fn run(&self, sql: &str) {
        let mut connection = self.pool.acquire().await.unwrap();
        DB::run(&mut connection, sql.to_owned()).await.unwrap();
    }

    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = self.pool.acquire().await.unwrap();
        DB::number(&mut connection, sql.to_owned()).await.unwrap()
    }

    /// The database's clock, in milliseconds since the Unix epoch.
    pub(crate) async fn now(&self) -> u64 {
        u64::try_from(self.number(&format!("SELECT {}", DB::NOW)).await).unwrap()
    }

    /// Events that are in the table.
    pub(crate) async fn rows(&self) -> i64 {
        self.number("SELECT count(*) FROM idempotency_outbox").await
    }

    /// Events that a relay could lease now, were they at the head of their keys.
    pub(crate) async fn free(&self) -> i64 {
        let free = format!(
            "SELECT count(*) FROM idempotency_outbox WHERE owner IS NULL AND available_at <= {}",
            DB::NOW
        );
        self.number(&free).await
    }

    /// Waits until so many events are in the table.
    pub(crate) async fn until_rows(&self, count: i64) {
        let counted = async {
            while self.rows().await != count {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        in_time(counted).await;
    }
}

/// An outbox on connections of its own.
pub(crate) async fn outbox_at<DB: Db>(url: &str) -> Outbox<DB> {
    Outbox::new(pool(url).await)
}

pub(crate) async fn pool<DB: Db>(url: &str) -> Pool<DB> {
    use sqlx::pool::PoolOptions;

    PoolOptions::<DB>::new()
        .acquire_timeout(PATIENCE)
        // SQLite waits for its one writer for 5 s, in which a busy machine may not come round to everybody.
        .after_connect(|connection, _| match DB::NAME {
            "SQLite" => DB::run(connection, "PRAGMA busy_timeout = 30000".to_owned()),
            _ => Box::pin(std::future::ready(Ok(()))),
        })
        .connect(url)
        .await
        .unwrap()
}

/// A relay that runs in a task.
pub(crate) struct Running {
    pub(crate) stop: CancellationToken,
    pub(crate) task: JoinHandle<Result<(), OutboxError>>,
}

impl Running {
    pub(crate) fn start<DB: Db, P: Publisher + 'static>(relay: Relay<DB, P>) -> Self {
        let stop = CancellationToken::new();
        Self { task: tokio::spawn(relay.run(stop.clone())), stop }
    }

    /// Ends it in order.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        in_time(self.task).await.unwrap().unwrap();
    }

    /// Drops it wherever it is, as a process that dies would.
    pub(crate) async fn kill(self) {
        self.task.abort();
        let _ = in_time(self.task).await;
    }
}

/// Timings of a test: nothing waits long for what it need not wait for.
pub(crate) fn quick<DB: Db, P: Publisher>(relay: Relay<DB, P>) -> Relay<DB, P> {
    relay
        .poll(Duration::from_millis(20))
        .backoff(Duration::from_millis(5), Duration::from_millis(40))
}

/// The connection of a transaction, where the compiler does not find it by itself.
pub(crate) fn inside<'a, DB: Db>(tx: &'a mut sqlx::Transaction<'_, DB>) -> &'a mut DB::Connection {
    &mut *tx
}

/// Begins on a connection.
pub(crate) async fn begin<DB: Db>(connection: &mut DB::Connection) -> sqlx::Transaction<'_, DB> {
    connection.begin().await.unwrap()
}
