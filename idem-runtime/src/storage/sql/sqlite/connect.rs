//! Making a [`SqliteStorage`].

use std::str::FromStr;
use std::time::{Duration, Instant};

use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::super::table::{DEFAULT_TABLE, Quote, Table};
use super::SqliteStorage;
use super::error::{explain, is_busy};
use crate::storage::{StorageError, StorageErrorKind};

/// Connections of a pool that we make: one writes, and others read beside it.
const CONNECTIONS: u32 = 4;

/// How long a statement or an opening waits for others who hold the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a [`SqliteStorage`] reaches its table. From [`SqliteStorage::builder`].
#[must_use = "a builder does nothing until `build` or `connect` is called"]
#[derive(Clone, Debug)]
pub struct SqliteBuilder {
    table: String,
}

impl SqliteBuilder {
    /// The records' table; `idempotency_records` unless set. Storages on different tables do not see each other's records.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// A storage on the application's own pool. Nothing is opened yet.
    ///
    /// The pool's connections should be in WAL mode with `synchronous = FULL`, and have a busy timeout; [`SqliteStorage::check`] tells.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where the name is not made of ASCII letters, digits and `_`, begins with a digit, or is longer
    /// than 48 characters.
    pub fn build(self, pool: SqlitePool) -> Result<SqliteStorage, StorageError> {
        Ok(SqliteStorage::on_table(pool, Table::new(None, &self.table, Quote::Double)?))
    }

    /// A storage on a small pool of its own: `sqlite:FILE`, `sqlite:///absolute/FILE` or `sqlite::memory:`.
    ///
    /// A file is made if it is not there, unless the URL has a `mode`. It is opened in WAL mode, with `synchronous = FULL` and a busy timeout
    /// of 5 seconds. A database in memory has one connection, lives as long as the storage, and has its tables from the start.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where the URL or the table's name is malformed, the file cannot be opened or is no database.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<SqliteStorage, StorageError> {
        let url = url.as_ref();
        let options = SqliteConnectOptions::from_str(url).map_err(|error| {
            let message = "not a URL of a sqlite database: it has to be like sqlite:records.db or sqlite::memory:";
            StorageError::new(StorageErrorKind::Configuration, message).with_source(error)
        })?;
        let options = options.disable_statement_logging().busy_timeout(BUSY_TIMEOUT);
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let pool = SqlitePoolOptions::new().acquire_timeout(Duration::from_secs(10));
        let (pool, options) = if in_memory {
            // The database goes with its last connection, and a second one would not wait for the first.
            (pool.max_connections(1).idle_timeout(None).max_lifetime(None), options)
        } else {
            let makes = !url.contains("mode=");
            let options = if makes { options.create_if_missing(true) } else { options };
            let options =
                options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
            // There is no connection that could have broken meanwhile.
            (pool.max_connections(CONNECTIONS).test_before_acquire(false), options)
        };
        let table = Table::new(None, &self.table, Quote::Double)?;
        let pool = open(pool, options).await;
        let pool = pool.map_err(|error| StorageError::from(explain(error, false, &table)))?;
        let storage = SqliteStorage::on_table(pool, table);
        if in_memory {
            storage.migrate().await?;
        }
        for warning in storage.check().await? {
            tracing::warn!("{warning}");
        }
        Ok(storage)
    }
}

/// Opens the pool's first connection.
///
/// `SQLite` does not apply the busy timeout to the change of a new file to WAL mode: of several processes that open it at once, all but one
/// are told that it is locked, and have to try again.
async fn open(pool: SqlitePoolOptions, options: SqliteConnectOptions) -> sqlx::Result<SqlitePool> {
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        match pool.clone().connect_with(options.clone()).await {
            Err(error) if is_busy(&error) && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(fastrand::u64(1..20))).await;
            }
            opened => return opened,
        }
    }
}

impl SqliteStorage {
    /// A storage on the application's own pool, in the table `idempotency_records`. Nothing is opened yet.
    pub fn new(pool: SqlitePool) -> Self {
        Self::on_table(pool, Table::standard(Quote::Double))
    }

    /// A storage on a small pool of its own, with default options: see [`SqliteBuilder::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, StorageError> {
        Self::builder().connect(url).await
    }

    /// Options.
    pub fn builder() -> SqliteBuilder {
        SqliteBuilder { table: DEFAULT_TABLE.to_owned() }
    }
}
