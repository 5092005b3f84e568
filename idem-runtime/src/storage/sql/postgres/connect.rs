//! Making a [`PostgresStorage`].

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use sqlx::ConnectOptions;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};

use super::super::table::{DEFAULT_TABLE, Quote, Table};
use super::PostgresStorage;
use super::error::explain;
use super::link::Link;
use super::statements::Statements;
use super::verbs::Backend;
use crate::storage::{StorageError, StorageErrorKind};

/// Connections of a pool that we make: more statements than one of each verb and some reads are never under way.
const CONNECTIONS: u32 = 5;

/// A connection that was idle for longer is tried before it is used.
const FRESH: Duration = Duration::from_secs(5);

/// How a [`PostgresStorage`] reaches its tables. From [`PostgresStorage::builder`].
#[must_use = "a builder does nothing until `build` or `connect` is called"]
#[derive(Clone)]
pub struct PostgresBuilder {
    schema: Option<String>,
    table: String,
    response_timeout: Duration,
    prepared_statements: bool,
}

impl PostgresBuilder {
    /// The schema of the tables; what the server finds by its `search_path` unless set.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
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

    /// Whether statements are prepared once for a connection; `true` unless set.
    ///
    /// Behind a pooler that gives a server connection to one transaction at a time and does not follow prepared statements (`PgBouncer` in
    /// transaction mode before 1.21, or with `max_prepared_statements = 0`) set it to `false`: each statement then goes in a short
    /// transaction of its own and leaves nothing behind, for three more round trips.
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.prepared_statements = prepared;
        self
    }

    /// A storage on the application's own pool. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where a name is not made of ASCII letters, digits and `_`, begins with a digit, or is longer than
    /// 48 characters; or the timeout is zero.
    pub fn build(self, pool: PgPool) -> Result<PostgresStorage, StorageError> {
        let table = self.checked()?;
        Ok(self.on_table(pool, table))
    }

    /// The table, if all options can be used.
    fn checked(&self) -> Result<Table, StorageError> {
        if self.response_timeout.is_zero() {
            let message = "a timeout of zero lets nothing succeed";
            return Err(StorageError::new(StorageErrorKind::Configuration, message));
        }
        Table::new(self.schema.as_deref(), &self.table, Quote::Double)
    }

    fn on_table(&self, pool: PgPool, table: Table) -> PostgresStorage {
        let statements = Statements::new(&table);
        let (response_timeout, named_statements) =
            (self.response_timeout, self.prepared_statements);
        let link = Link { pool, table, response_timeout, named_statements };
        PostgresStorage::from_backend(Backend { link, statements })
    }

    /// A storage on a small pool of its own, on the server that `url` names: `postgres://[user[:password]@]host[:port]/database`.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] when somebody has to change something: the URL, the password, a name.
    /// [`StorageErrorKind::NotApplied`] when the server cannot be reached now. The text does not repeat the URL.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<PostgresStorage, StorageError> {
        let url = url.as_ref();
        let options = PgConnectOptions::from_str(url).map_err(|_| {
            // The client's error may repeat the password.
            let message = "not a URL of a postgres server: it has to be like postgres://user:password@host:5432/database";
            StorageError::new(StorageErrorKind::Configuration, message)
        })?;
        // What slow statements are called is in our own errors and metrics.
        let options = options.disable_statement_logging();
        let table = self.checked()?;
        let pool = PgPoolOptions::new()
            .max_connections(CONNECTIONS)
            .acquire_timeout(Duration::from_secs(5))
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
        // A first connection now, so that a wrong address shows at the start.
        let server = format!("{}:{}", options.get_host(), options.get_port());
        let pool = pool.connect_with(options).await.map_err(|error| match error {
            error @ sqlx::Error::PoolTimedOut => {
                let message = format!("cannot connect to postgres at {server} in time");
                StorageError::new(StorageErrorKind::NotApplied, message).with_source(error)
            }
            error => explain(error, false, &table).0.into(),
        })?;
        Ok(self.on_table(pool, table))
    }
}

impl PostgresStorage {
    /// A storage on the application's own pool, in the table `idempotency_records`. Nothing is connected yet.
    pub fn new(pool: PgPool) -> Self {
        Self::builder().on_table(pool, Table::standard(Quote::Double))
    }

    /// A storage on a small pool of its own, with default options: see [`PostgresBuilder::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, StorageError> {
        Self::builder().connect(url).await
    }

    /// Options.
    pub fn builder() -> PostgresBuilder {
        PostgresBuilder {
            schema: None,
            table: DEFAULT_TABLE.to_owned(),
            response_timeout: Duration::from_secs(10),
            prepared_statements: true,
        }
    }
}

impl fmt::Debug for PostgresBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresBuilder")
            .field("schema", &self.schema)
            .field("table", &self.table)
            .field("response_timeout", &self.response_timeout)
            .field("prepared_statements", &self.prepared_statements)
            .finish()
    }
}
