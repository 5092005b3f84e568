//! Making a [`PostgresStorage`](super::PostgresStorage).

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{Error, Postgres};

use super::super::builder::{ConnectDatabase, SqlBuilder};
use super::super::database::{SqlDatabase, SqlOptions};
use super::super::server::{self, ServerDatabase};
use super::super::storage::SqlStorage;
use super::super::table::{Quote, Table};
use super::link::PgLink;
use super::statements::PgStatements;
use super::verbs::PgBackend;
use crate::storage::StorageError;

/// How a [`PostgresStorage`](super::PostgresStorage) reaches its tables.
pub type PostgresBuilder = SqlBuilder<Postgres>;

impl SqlBuilder<Postgres> {
    /// The schema of the tables; what the server finds by its `search_path` unless set.
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.options.schema = Some(schema.into());
        self
    }

    /// Whether statements are prepared once for a connection; `true` unless set.
    ///
    /// Behind a pooler that gives a server connection to one transaction at a time and does not
    /// follow prepared statements (`PgBouncer` in transaction mode before 1.21, or with
    /// `max_prepared_statements = 0`) set it to `false`: each statement then goes in a short
    /// transaction of its own and leaves nothing behind, for three more round trips.
    pub fn prepared_statements(mut self, prepared: bool) -> Self {
        self.options.prepared_statements = prepared;
        self
    }
}

impl SqlDatabase for Postgres {
    const BACKEND: &'static str = "postgres";

    const QUOTE: Quote = Quote::Double;

    /// One for each kind of verb, and some for reads and for what waits for a lock.
    const CONNECTIONS: u32 = 6;

    type Backend = PgBackend;

    fn backend(
        options: &SqlOptions,
        pool: PgPoolOptions,
        address: impl Fn() -> PgConnectOptions + Send + Sync + 'static,
        table: Table,
    ) -> PgBackend {
        let statements = PgStatements::new(&table);
        PgBackend { link: PgLink::new(options, pool, address, table), statements }
    }
}

impl ConnectDatabase for Postgres {
    async fn connect(
        builder: SqlBuilder<Self>,
        url: &str,
    ) -> Result<SqlStorage<Self>, StorageError> {
        server::connect(builder, url).await
    }
}

impl ServerDatabase for Postgres {
    const EXAMPLE: &'static str = "postgres://user:password@host:5432/database";

    fn server(options: &PgConnectOptions) -> String {
        match options.get_socket() {
            Some(folder) => folder.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        }
    }

    fn is_starting(error: &Error) -> bool {
        match error {
            Error::Io(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
            Error::Database(error) => error.is_transient_in_connect_phase(),
            _ => false,
        }
    }
}
