//! Making a [`PostgresStorage`].

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions, Postgres};

use super::super::connections::{FIRST_PATIENCE, PATIENCE, address_of, on_driver};
use super::super::server;
use super::super::table::{DEFAULT_TABLE, Quote, Table};
use super::error::on_acquire;
use super::link::Link;
use super::statements::Statements;
use super::storage::PostgresStorage;
use super::verbs::Backend;
use crate::storage::{StorageError, StorageErrorKind};

/// Connections of a storage unless the builder says otherwise: one for each kind of verb, and some
/// for reads and for what waits for a lock.
const CONNECTIONS: u32 = 6;

/// How a [`PostgresStorage`] reaches its tables. From [`PostgresStorage::builder`].
#[must_use = "a builder does nothing until `build` or `connect` is called"]
#[derive(Clone, Debug)]
pub struct PostgresBuilder {
    schema: Option<String>,
    table: String,
    response_timeout: Duration,
    prepared_statements: bool,
    connections: u32,
    connection_timeout: Duration,
}

impl PostgresBuilder {
    /// The schema of the tables; what the server finds by its `search_path` unless set.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
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

    /// Most connections that the storage opens for itself; 6 unless set. It opens what it needs,
    /// one or two as a rule. With three or more, one is kept for renewals, and completions never
    /// wait for claims.
    pub fn connections(mut self, most: u32) -> Self {
        self.connections = most;
        self
    }

    /// Whether statements are prepared once for a connection; `true` unless set.
    ///
    /// Behind a pooler that gives a server connection to one transaction at a time and does not
    /// follow prepared statements (`PgBouncer` in transaction mode before 1.21, or with
    /// `max_prepared_statements = 0`) set it to `false`: each statement then goes in a short
    /// transaction of its own and leaves nothing behind, for three more round trips.
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.prepared_statements = prepared;
        self
    }

    /// A storage on connections of its own, with the options of the application's pool, hooks
    /// included: see [`PostgresStorage::new`]. Nothing is connected yet.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where a name is not made of ASCII letters, digits and
    /// `_`, begins with a digit, or is longer than 48 characters; or a timeout or the number of
    /// connections is zero.
    pub fn build(self, pool: PgPool) -> Result<PostgresStorage, StorageError> {
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
        Table::new(self.schema.as_deref(), &self.table, Quote::Double)
    }

    fn on_table(
        &self,
        options: PgPoolOptions,
        address: impl Fn() -> PgConnectOptions + Send + Sync + 'static,
        table: Table,
    ) -> PostgresStorage {
        let statements = Statements::new(&table);
        let most = (self.connections, self.connection_timeout);
        let how = (self.response_timeout, self.prepared_statements);
        let link = Link::new(options, most, address, table, how);
        PostgresStorage::from_backend(Backend { link, statements })
    }

    /// A storage on a small pool of its own, on the server that `url` names:
    /// `postgres://[user[:password]@]host[:port]/database`.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] when somebody has to change something: the URL, the
    /// password, a name. [`StorageErrorKind::NotApplied`] when the server cannot be reached now.
    /// The text does not repeat the URL.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<PostgresStorage, StorageError> {
        let example = "postgres://user:password@host:5432/database";
        let options: PgConnectOptions = server::options(url.as_ref(), "postgres", example)?;
        // What slow statements are called is in our own errors and metrics.
        let options = options.disable_statement_logging();
        let table = self.checked()?;
        let (first, named) = (options.clone(), named(&options));
        let storage = self.on_table(PgPoolOptions::new(), move || options.clone(), table);
        let backend = Arc::clone(storage.backend());
        let trying = async move {
            let tried = server::try_once::<Postgres>(&first, is_starting).await;
            let explain = |error| on_acquire(error, &backend.link.table).into();
            tried.map_err(|error| server::with_address(explain(error), "postgres", &named))
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
fn named(options: &PgConnectOptions) -> String {
    match options.get_socket() {
        Some(folder) => folder.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    }
}

/// Whether a server may be there in a moment.
fn is_starting(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
        sqlx::Error::Database(error) => error.is_transient_in_connect_phase(),
        _ => false,
    }
}

impl PostgresStorage {
    /// A storage beside the application's pool, in the table `idempotency_records`. Nothing is
    /// connected yet.
    ///
    /// It opens a few connections of its own, with the options of that pool and its hooks, on a
    /// thread of the library's: what bodies do with the pool, hold all of its connections or leave
    /// transactions open, costs no lease and no record. Only what is part of the application's own
    /// transaction goes by that transaction's connection.
    pub fn new(pool: PgPool) -> Self {
        let (options, address) = (pool.options().clone(), address_of(pool));
        Self::builder().on_table(options, address, Table::standard(Quote::Double))
    }

    /// A storage on a small pool of its own, with default options: see
    /// [`PostgresBuilder::connect`].
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
            connections: CONNECTIONS,
            connection_timeout: PATIENCE,
        }
    }
}
