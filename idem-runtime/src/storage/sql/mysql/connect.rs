//! Making a [`MySqlStorage`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::mysql::{MySqlConnectOptions, MySqlPool, MySqlPoolOptions};
use tokio::sync::OnceCell;

use super::super::table::{DEFAULT_TABLE, Quote, Table};
use super::MySqlStorage;
use super::error::explain;
use super::link::Link;
use super::statements::Statements;
use super::verbs::Backend;
use crate::storage::{StorageError, StorageErrorKind};

/// Connections of a pool that we make: one for each batch that may be under way at once, and some for reads.
const CONNECTIONS: u32 = 8;

/// A connection that was idle for longer is tried before it is used.
const FRESH: Duration = Duration::from_secs(5);

/// How long a connection may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// How a [`MySqlStorage`] reaches its tables. From [`MySqlStorage::builder`].
#[must_use = "a builder does nothing until `build` or `connect` is called"]
#[derive(Clone)]
pub struct MySqlBuilder {
    database: Option<String>,
    table: String,
    response_timeout: Duration,
    is_shared: bool,
}

impl MySqlBuilder {
    /// The database of the tables; the one that the pool's connections are in unless set.
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.database = Some(database.into());
        self
    }

    /// The records' table; `idempotency_records` unless set. Storages on different tables do not see each other's records.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.table = table.into();
        self
    }

    /// How long an answer may take until the request counts as lost; 10 seconds unless set.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.response_timeout = limit;
        self
    }

    /// Whether others use the pool as well; true unless set. A `begin` that they give up, or forget, leaves a connection inside a transaction, with
    /// which a record would be lost. So whatever writes makes sure that there is none, which `MariaDB` does by the way and MySQL in a round trip.
    /// Where the pool is this storage's alone, `false` saves that.
    pub fn shared_pool(mut self, is_shared: bool) -> Self {
        self.is_shared = is_shared;
        self
    }

    /// A storage on the application's own pool. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where a name is not made of ASCII letters, digits and `_`, begins with a digit, or is longer than
    /// 48 characters; or the timeout is zero.
    pub fn build(self, pool: MySqlPool) -> Result<MySqlStorage, StorageError> {
        let table = self.checked()?;
        Ok(self.on_table(pool, table))
    }

    /// The table, if all options can be used.
    fn checked(&self) -> Result<Table, StorageError> {
        if self.response_timeout.is_zero() {
            let message = "a timeout of zero lets nothing succeed";
            return Err(StorageError::new(StorageErrorKind::Configuration, message));
        }
        Table::new(self.database.as_deref(), &self.table, Quote::Backtick)
    }

    fn on_table(&self, pool: MySqlPool, table: Table) -> MySqlStorage {
        let statements = Statements::new(&table);
        let Self { response_timeout, is_shared, .. } = *self;
        let link = Link { pool, table, response_timeout, is_shared, server: OnceCell::new() };
        MySqlStorage::from_backend(Backend { link, statements })
    }

    /// A storage on a small pool of its own, on the server that `url` names: `mysql://[user[:password]@]host[:port]/database`.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] when somebody has to change something: the URL, the password, a name.
    /// [`StorageErrorKind::NotApplied`] when the server cannot be reached now. The text does not repeat the URL.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<MySqlStorage, StorageError> {
        let options = MySqlConnectOptions::from_str(url.as_ref()).map_err(|_| {
            // The client's error may repeat the password.
            let message = "not a URL of a mysql server: it has to be like mysql://user:password@host:3306/database";
            StorageError::new(StorageErrorKind::Configuration, message)
        })?;
        // What slow statements are called is in our own errors and metrics.
        let options = options.disable_statement_logging();
        let table = self.checked()?;
        let pool = MySqlPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(PATIENCE)
            // Asking before each use costs a round trip, and a statement that meets a broken connection may be repeated.
            .test_before_acquire(false)
            .before_acquire(|connection, idle| {
                Box::pin(async move {
                    if idle.idle_for > FRESH {
                        connection.ping().await?;
                    }
                    Ok(true)
                })
            });
        try_once(&options).await.map_err(|error| explain(error, false, &table).0)?;
        Ok(self.shared_pool(false).on_table(pool.connect_lazy_with(options), table))
    }
}

/// Connects once, so that a wrong address shows at the start. A pool would not say why, but try until its patience ends.
async fn try_once(options: &MySqlConnectOptions) -> Result<(), sqlx::Error> {
    let connection = tokio::time::timeout(PATIENCE, options.connect()).await;
    let connection = connection.map_err(|_| sqlx::Error::PoolTimedOut)??;
    // Whether the server hears that this was all matters to nobody.
    let _ = connection.close().await;
    Ok(())
}

impl MySqlStorage {
    /// A storage on the application's own pool, in the table `idempotency_records`. Nothing is connected yet.
    pub fn new(pool: MySqlPool) -> Self {
        Self::builder().on_table(pool, Table::standard(Quote::Backtick))
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
            is_shared: true,
        }
    }
}

impl fmt::Debug for MySqlBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MySqlBuilder")
            .field("database", &self.database)
            .field("table", &self.table)
            .field("response_timeout", &self.response_timeout)
            .field("is_shared", &self.is_shared)
            .finish()
    }
}
