//! Making a [`MySqlStorage`].

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use sqlx::{ConnectOptions, MySql};

use super::super::connections::{FIRST_PATIENCE, PATIENCE, address_of, on_driver};
use super::super::server;
use super::super::table::{DEFAULT_TABLE, Quote, Table};
use super::error::on_acquire;
use super::link::Link;
use super::statements::Statements;
use super::storage::MySqlStorage;
use super::verbs::Backend;
use crate::storage::{StorageError, StorageErrorKind};

/// Connections of a storage unless the builder says otherwise: one for each batch that may be under
/// way at once, and some for reads and for what waits for a lock.
const CONNECTIONS: u32 = 8;

/// How a [`MySqlStorage`] reaches its tables. From [`MySqlStorage::builder`].
#[must_use = "a builder does nothing until `build` or `connect` is called"]
#[derive(Clone, Debug)]
pub struct MySqlBuilder {
    database: Option<String>,
    table: String,
    response_timeout: Duration,
    connections: u32,
    connection_timeout: Duration,
}

impl MySqlBuilder {
    /// The database of the tables; the one that the pool's connections are in unless set.
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// The records' table; `idempotency_records` unless set. Storages on different tables do not
    /// see each other's records.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// How long an answer may take until the request counts as lost; 10 seconds unless set.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.response_timeout = limit;
        self
    }

    /// How long a verb waits for a connection; 2.5 seconds unless set, so that a call before its
    /// body is refused within its time.
    pub fn connection_timeout(mut self, limit: Duration) -> Self {
        self.connection_timeout = limit;
        self
    }

    /// Most connections that the storage opens for itself; 8 unless set. It opens what it needs,
    /// two or three as a rule. With three or more, one is kept for renewals, and completions never
    /// wait for claims.
    pub fn connections(mut self, most: u32) -> Self {
        self.connections = most;
        self
    }

    /// A storage on connections of its own, with the options of the application's pool, hooks
    /// included: see [`MySqlStorage::new`]. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where a name is not made of ASCII letters, digits and
    /// `_`, begins with a digit, or is longer than 48 characters; or a timeout or the number of
    /// connections is zero.
    pub fn build(self, pool: MySqlPool) -> Result<MySqlStorage, StorageError> {
        let table = self.checked()?;
        Ok(self.on_table(pool.options().clone(), address_of(pool), table))
    }

    /// The table, if all options can be used.
    fn checked(&self) -> Result<Table, StorageError> {
        if self.response_timeout.is_zero() || self.connection_timeout.is_zero() {
            let message = "a timeout must be greater than zero";
            return Err(StorageError::new(StorageErrorKind::Configuration, message));
        }
        if self.connections == 0 {
            let message = "the number of connections must be greater than zero";
            return Err(StorageError::new(StorageErrorKind::Configuration, message));
        }
        Table::new(self.database.as_deref(), &self.table, Quote::Backtick)
    }

    fn on_table(
        &self,
        options: MySqlPoolOptions,
        address: impl Fn() -> MySqlConnectOptions + Send + Sync + 'static,
        table: Table,
    ) -> MySqlStorage {
        let statements = Statements::new(&table);
        let most = (self.connections, self.connection_timeout);
        let link = Link::new(options, most, address, table, self.response_timeout);
        MySqlStorage::from_backend(Backend { link, statements })
    }

    /// A storage on a small pool of its own, on the server that `url` names:
    /// `mysql://[user[:password]@]host[:port]/database`.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] when somebody has to change something: the URL, the
    /// password, a name. [`StorageErrorKind::NotApplied`] when the server cannot be reached now.
    /// The text does not repeat the URL.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<MySqlStorage, StorageError> {
        let example = "mysql://user:password@host:3306/database";
        let options: MySqlConnectOptions = server::options(url.as_ref(), "mysql", example)?;
        // What slow statements are called is in our own errors and metrics.
        let options = options.disable_statement_logging();
        let table = self.checked()?;
        let (first, named) = (options.clone(), named(&options));
        let storage = self.on_table(MySqlPoolOptions::new(), move || options.clone(), table);
        let backend = Arc::clone(storage.backend());
        let trying = async move {
            let tried = server::try_once::<MySql>(&first, |_| false).await;
            let explain = |error| on_acquire(error, &backend.link.table).into();
            tried.map_err(|error| server::with_address(explain(error), "mysql", &named))
        };
        on_driver(storage.backend().link.limit().max(FIRST_PATIENCE * 2), trying).await?;
        for warning in storage.check().await? {
            tracing::warn!("{warning}");
        }
        storage.ensure_tables().await?;
        Ok(storage)
    }
}

/// Where a server is, for errors.
fn named(options: &MySqlConnectOptions) -> String {
    match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

impl MySqlStorage {
    /// A storage beside the application's pool, in the table `idempotency_records`. Nothing is
    /// connected yet.
    ///
    /// It opens a few connections of its own, with the options of that pool and its hooks, on a
    /// thread of the library's: what bodies do with the pool, hold all of its connections or leave
    /// transactions open, costs no lease and no record. Only what is part of the application's own
    /// transaction goes by that transaction's connection.
    pub fn new(pool: MySqlPool) -> Self {
        let (options, address) = (pool.options().clone(), address_of(pool));
        Self::builder().on_table(options, address, Table::standard(Quote::Backtick))
    }

    /// A storage on a small pool of its own, with default options: see [`MySqlBuilder::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, StorageError> {
        Self::builder().connect(url).await
    }

    /// Options.
    pub fn builder() -> MySqlBuilder {
        MySqlBuilder {
            database: None,
            table: DEFAULT_TABLE.to_owned(),
            response_timeout: Duration::from_secs(10),
            connections: CONNECTIONS,
            connection_timeout: PATIENCE,
        }
    }
}
