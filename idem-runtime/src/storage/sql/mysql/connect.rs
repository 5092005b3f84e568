//! Making a [`MySqlStorage`](super::MySqlStorage).

use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::{Error, MySql};

use super::super::builder::{ConnectDatabase, SqlBuilder};
use super::super::database::{SqlDatabase, SqlOptions};
use super::super::server::{self, ServerDatabase};
use super::super::storage::SqlStorage;
use super::super::table::{Quote, Table};
use super::link::MySqlLink;
use super::statements::MySqlStatements;
use super::verbs::MySqlBackend;
use crate::storage::StorageError;

/// How a [`MySqlStorage`](super::MySqlStorage) reaches its tables.
pub type MySqlBuilder = SqlBuilder<MySql>;

impl SqlBuilder<MySql> {
    /// The database of the tables; the one that the pool's connections are in unless set.
    pub fn database(mut self, database: impl Into<String>) -> Self {
        self.options.schema = Some(database.into());
        self
    }
}

impl SqlDatabase for MySql {
    const BACKEND: &'static str = "mysql";

    const QUOTE: Quote = Quote::Backtick;

    /// One for each batch that may be under way at once, and some for reads and for what waits for
    /// a lock.
    const CONNECTIONS: u32 = 8;

    type Backend = MySqlBackend;

    fn backend(
        options: &SqlOptions,
        pool: MySqlPoolOptions,
        address: impl Fn() -> MySqlConnectOptions + Send + Sync + 'static,
        table: Table,
    ) -> MySqlBackend {
        let statements = MySqlStatements::new(&table);
        MySqlBackend { link: MySqlLink::new(options, pool, address, table), statements }
    }
}

impl ConnectDatabase for MySql {
    async fn connect(
        builder: SqlBuilder<Self>,
        url: &str,
    ) -> Result<SqlStorage<Self>, StorageError> {
        server::connect(builder, url).await
    }
}

impl ServerDatabase for MySql {
    const EXAMPLE: &'static str = "mysql://user:password@host:3306/database";

    fn server(options: &MySqlConnectOptions) -> String {
        match options.get_socket() {
            Some(socket) => socket.display().to_string(),
            None => format!("{}:{}", options.get_host(), options.get_port()),
        }
    }

    fn is_starting(_error: &Error) -> bool {
        false
    }
}
