//! Making a [`SqliteStorage`](super::SqliteStorage).

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Sqlite};

use super::super::builder::{ConnectDatabase, SqlBuilder};
use super::super::database::{SqlDatabase, SqlOptions};
use super::super::storage::SqlStorage;
use super::super::table::{Quote, Table};
use super::link::SqliteLink;
use super::statements::SqliteStatements;
use super::verbs::SqliteBackend;
use crate::storage::{StorageError, StorageErrorKind};

/// How long a statement, or opening the file, waits while another connection holds the file.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// How a [`SqliteStorage`](super::SqliteStorage) reaches its tables.
pub type SqliteBuilder = SqlBuilder<Sqlite>;

impl SqlDatabase for Sqlite {
    const BACKEND: &'static str = "sqlite";

    const QUOTE: Quote = Quote::Double;

    /// One writes, and others read beside it.
    const CONNECTIONS: u32 = 4;

    type Backend = SqliteBackend;

    fn backend(
        options: &SqlOptions,
        pool: SqlitePoolOptions,
        address: impl Fn() -> SqliteConnectOptions + Send + Sync + 'static,
        table: Table,
    ) -> SqliteBackend {
        let statements = SqliteStatements::new(&table);
        SqliteBackend { link: SqliteLink::new(options, pool, address, table), statements }
    }
}

impl ConnectDatabase for Sqlite {
    async fn connect(
        mut builder: SqlBuilder<Self>,
        url: &str,
    ) -> Result<SqlStorage<Self>, StorageError> {
        let options = SqliteConnectOptions::from_str(url).map_err(|error| {
            let message = "not a URL of a sqlite database: it has to be like sqlite:records.db or sqlite::memory:";
            StorageError::new(StorageErrorKind::Configuration, message).with_source(error)
        })?;
        let mut options = options.disable_statement_logging().busy_timeout(BUSY_TIMEOUT);
        let mut pool = SqlitePoolOptions::new();
        if url.contains(":memory:") || url.contains("mode=memory") {
            // The database goes with its last connection.
            pool = pool.idle_timeout(None).max_lifetime(None);
            builder.options.connections = builder.options.connections.min(1);
        } else {
            options =
                options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Full);
            if !url.contains("mode=") {
                options = options.create_if_missing(true);
            }
        }
        let storage = builder.on_address(pool, move || options.clone())?;
        // First, because they refuse a version of SQLite that lacks what the statements need.
        storage.log_warnings().await?;
        storage.ensure_tables().await?;
        let trying =
            async |backend: Arc<SqliteBackend>| Ok(backend.link.require_writable().await?);
        storage.on_driver(trying).await?;
        Ok(storage)
    }
}
