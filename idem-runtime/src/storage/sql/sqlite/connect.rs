//! Making a [`SqliteStorage`].

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};

use super::super::connections::{PATIENCE, address_of};
use super::super::table::{DEFAULT_TABLE, Quote, Table};
use super::link::Link;
use super::statements::Statements;
use super::storage::SqliteStorage;
use super::verbs::Backend;
use crate::storage::{StorageError, StorageErrorKind};

/// Connections of a storage unless the builder says otherwise: one writes, and others read beside
/// it.
const CONNECTIONS: u32 = 4;

/// How long a statement or an opening waits for others who hold the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a [`SqliteStorage`] reaches its table. From [`SqliteStorage::builder`].
#[must_use = "a builder does nothing until `build` or `connect` is called"]
#[derive(Clone, Debug)]
pub struct SqliteBuilder {
    table: String,
    connections: u32,
    connection_timeout: Duration,
}

impl SqliteBuilder {
    /// The records' table; `idempotency_records` unless set. Storages on different tables do not
    /// see each other's records.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// How long a claim waits for a connection, and for others who hold the file; 2.5 seconds
    /// unless set, so that a call before its body is refused within its time. What owners write
    /// waits for 5 seconds at least.
    pub fn connection_timeout(mut self, limit: Duration) -> Self {
        self.connection_timeout = limit;
        self
    }

    /// Most connections that the storage opens for itself; 4 unless set. A database in memory has
    /// one.
    pub fn connections(mut self, most: u32) -> Self {
        self.connections = most;
        self
    }

    /// A storage on connections of its own, with the options of the application's pool, hooks
    /// included: see [`SqliteStorage::new`]. Nothing is opened yet.
    ///
    /// Connections should be in WAL mode with `synchronous = FULL`; [`SqliteStorage::check`] tells.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where the name is not made of ASCII letters, digits and
    /// `_`, begins with a digit, or is longer than 48 characters; or the number of connections is
    /// zero.
    pub fn build(self, pool: SqlitePool) -> Result<SqliteStorage, StorageError> {
        let table = self.checked()?;
        Ok(self.beside(pool, table))
    }

    /// The table, if all options can be used.
    fn checked(&self) -> Result<Table, StorageError> {
        if self.connections == 0 {
            let message = "the number of connections must be greater than zero";
            return Err(StorageError::new(StorageErrorKind::Configuration, message));
        }
        Table::new(None, &self.table, Quote::Double)
    }

    fn beside(&self, pool: SqlitePool, table: Table) -> SqliteStorage {
        let options = pool.options().clone();
        let most = (self.connections, self.connection_timeout);
        from_link(Link::new(options, most, address_of(pool), table))
    }

    /// A storage on a small pool of its own: `sqlite:FILE`, `sqlite:///absolute/FILE` or
    /// `sqlite::memory:`.
    ///
    /// A file is made if it is not there, unless the URL has a `mode`. It is opened in WAL mode,
    /// with `synchronous = FULL` and a busy timeout of 5 seconds. A database in memory has one
    /// connection, lives as long as the storage, and has its tables from the start.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where the URL or the table's name is malformed, the file
    /// cannot be opened or is no database.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<SqliteStorage, StorageError> {
        let url = url.as_ref();
        let options = SqliteConnectOptions::from_str(url).map_err(|error| {
            let message = "not a URL of a sqlite database: it has to be like sqlite:records.db or sqlite::memory:";
            StorageError::new(StorageErrorKind::Configuration, message).with_source(error)
        })?;
        let options = options.disable_statement_logging().busy_timeout(BUSY_TIMEOUT);
        let in_memory = url.contains(":memory:") || url.contains("mode=memory");
        let pool = SqlitePoolOptions::new();
        let (pool, most, options) = if in_memory {
            // The database goes with its last connection.
            (pool.idle_timeout(None).max_lifetime(None), 1, options)
        } else {
            let makes = !url.contains("mode=");
            let options = if makes { options.create_if_missing(true) } else { options };
            let options =
                options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
            (pool, self.connections, options)
        };
        let table = self.checked()?;
        let storage = from_link(Link::new(
            pool,
            (most, self.connection_timeout),
            move || options.clone(),
            table,
        ));
        storage.ensure_tables().await?;
        let trying = async |backend: Arc<Backend>| Ok(backend.link.require_writable().await?);
        storage.on_driver(trying).await?;
        for warning in storage.check().await? {
            tracing::warn!("{warning}");
        }
        Ok(storage)
    }
}

fn from_link(link: Link) -> SqliteStorage {
    let statements = Statements::new(&link.table);
    SqliteStorage::from_backend(Backend { link, statements })
}

impl SqliteStorage {
    /// A storage beside the application's pool, in the table `idempotency_records`. Nothing is
    /// opened yet.
    ///
    /// It opens a few connections of its own, with the options of that pool and its hooks, on a
    /// thread of the library's: what bodies do with the pool, hold all of its connections or leave
    /// transactions open, costs no lease and no record. Only what is part of the application's own
    /// transaction goes by that transaction's connection.
    ///
    /// A database in memory has to be one that connections share, as those of the URL
    /// `sqlite::memory:` do.
    pub fn new(pool: SqlitePool) -> Self {
        Self::builder().beside(pool, Table::standard(Quote::Double))
    }

    /// A storage on a small pool of its own, with default options: see [`SqliteBuilder::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, StorageError> {
        Self::builder().connect(url).await
    }

    /// Options.
    pub fn builder() -> SqliteBuilder {
        SqliteBuilder {
            table: DEFAULT_TABLE.to_owned(),
            connections: CONNECTIONS,
            connection_timeout: PATIENCE,
        }
    }
}
