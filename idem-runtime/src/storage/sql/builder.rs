//! Making a storage.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use sqlx::Pool;
use sqlx::pool::PoolOptions;

use super::connections::{Address, PATIENCE, address_of};
use super::database::{SqlDatabase, SqlOptions};
use super::storage::SqlStorage;
use super::table::{DEFAULT_TABLE, Table};
use crate::storage::{StorageError, StorageErrorKind};

/// How a storage reaches its tables: use it as `PostgresBuilder`, `MySqlBuilder` or
/// `SqliteBuilder`. From [`SqlStorage::builder`].
#[must_use = "a builder does nothing until `build` or `connect` is called"]
#[expect(private_bounds, reason = "the databases are those that this library knows")]
pub struct SqlBuilder<DB: SqlDatabase> {
    pub(super) options: SqlOptions,
    database: PhantomData<fn() -> DB>,
}

/// A database that opens storages at URLs.
pub(crate) trait ConnectDatabase: SqlDatabase {
    /// A storage at a URL.
    fn connect(
        builder: SqlBuilder<Self>,
        url: &str,
    ) -> impl Future<Output = Result<SqlStorage<Self>, StorageError>> + Send;
}

#[expect(private_bounds, reason = "the databases are those that this library knows")]
impl<DB: SqlDatabase> SqlBuilder<DB> {
    /// The records' table; `idempotency_records` unless set. Storages on different tables do not
    /// see each other's records.
    pub fn table(mut self, table: impl Into<String>) -> Self {
        self.options.table = table.into();
        self
    }

    /// How long a verb waits for a connection; 2.5 seconds unless set, so that a call before its
    /// body is refused within its time. On SQLite a claim also waits this long for other writers of
    /// the file, and an owner's write for 5 seconds at least.
    pub fn connection_timeout(mut self, limit: Duration) -> Self {
        self.options.connection_timeout = limit;
        self
    }

    /// Most connections that the storage opens for itself; unless set 6 on Postgres, 8 on MySQL and
    /// MariaDB, 4 on SQLite. It opens what it needs, one to three as a rule. With three or more,
    /// one is kept for renewals, and completions never wait for claims. A SQLite database in memory
    /// has one.
    pub fn connections(mut self, most: u32) -> Self {
        self.options.connections = most;
        self
    }

    /// A storage on connections of its own, with the options of the application's pool, hooks
    /// included: see [`SqlStorage::new`]. Nothing is connected yet.
    ///
    /// SQLite's connections should be in WAL mode with `synchronous = FULL`;
    /// [`warnings`](crate::storage::Storage::warnings) reports others.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] where a name is not made of ASCII letters, digits and
    /// `_`, begins with a digit, or is longer than 48 characters; or a timeout or the number of
    /// connections is zero.
    pub fn build(self, pool: Pool<DB>) -> Result<SqlStorage<DB>, StorageError> {
        self.on_address(pool.options().clone(), address_of(pool))
    }

    /// A storage on connections that are opened at `address`, if all options can be used.
    pub(super) fn on_address(
        self,
        pool: PoolOptions<DB>,
        address: impl Fn() -> Address<DB> + Send + Sync + 'static,
    ) -> Result<SqlStorage<DB>, StorageError> {
        let SqlOptions { schema, table, connections, connection_timeout, response_timeout, .. } =
            &self.options;
        let refused = |message| Err(StorageError::new(StorageErrorKind::Configuration, message));
        if response_timeout.is_zero() || connection_timeout.is_zero() {
            return refused("a timeout must be greater than zero");
        }
        if *connections == 0 {
            return refused("the number of connections must be greater than zero");
        }
        let table = Table::new(schema.as_deref(), table, DB::QUOTE)?;
        Ok(SqlStorage::from_backend(DB::backend(&self.options, pool, address, table)))
    }
}

#[expect(private_bounds, reason = "the databases are those that this library knows")]
impl<DB: SqlDatabase> SqlStorage<DB> {
    /// A storage beside the application's pool, in the table `idempotency_records`. Nothing is
    /// connected yet.
    ///
    /// It opens a few connections of its own, with the options of that pool and its hooks, on a
    /// thread of the library's: what bodies do with the pool, hold all of its connections or leave
    /// transactions open, costs no lease and no record. Only what is part of the application's own
    /// transaction goes by that transaction's connection.
    ///
    /// A SQLite database in memory has to be one that connections share, as those of the URL
    /// `sqlite::memory:` do.
    pub fn new(pool: Pool<DB>) -> Self {
        let (options, table) = (Self::builder().options, Table::standard(DB::QUOTE));
        let (pool, address) = (pool.options().clone(), address_of(pool));
        Self::from_backend(DB::backend(&options, pool, address, table))
    }

    /// Options.
    pub fn builder() -> SqlBuilder<DB> {
        let options = SqlOptions {
            schema: None,
            table: DEFAULT_TABLE.to_owned(),
            connections: DB::CONNECTIONS,
            connection_timeout: PATIENCE,
            response_timeout: Duration::from_secs(10),
            #[cfg(feature = "postgres")]
            prepared_statements: true,
        };
        SqlBuilder { options, database: PhantomData }
    }
}

#[expect(private_bounds, reason = "the databases are those that this library knows")]
impl<DB: ConnectDatabase> SqlBuilder<DB> {
    /// A storage on a small pool of its own, at the URL
    /// `postgres://[user[:password]@]host[:port]/database`,
    /// `mysql://[user[:password]@]host[:port]/database`, `sqlite:FILE`, `sqlite:///absolute/FILE`
    /// or `sqlite::memory:`. It [makes missing tables](super#tables).
    ///
    /// A SQLite file is made if it does not exist, unless the URL has a `mode`. It is opened in WAL
    /// mode, with `synchronous = FULL` and a busy timeout of 5 seconds. A database in memory lives
    /// as long as the storage.
    ///
    /// # Errors
    ///
    /// [`StorageErrorKind::Configuration`] when somebody has to change something: the URL, the
    /// password, a name, a file, which SQLite must be able to write.
    /// [`StorageErrorKind::NotApplied`] when the server cannot be reached now. The text does not
    /// repeat the URL.
    pub async fn connect(self, url: impl AsRef<str>) -> Result<SqlStorage<DB>, StorageError> {
        DB::connect(self, url.as_ref()).await
    }
}

#[expect(private_bounds, reason = "the databases are those that this library knows")]
impl<DB: ConnectDatabase> SqlStorage<DB> {
    /// A storage on a small pool of its own, with default options: see [`SqlBuilder::connect`].
    pub async fn connect(url: impl AsRef<str>) -> Result<Self, StorageError> {
        Self::builder().connect(url).await
    }
}

impl<DB: SqlDatabase> Clone for SqlBuilder<DB> {
    fn clone(&self) -> Self {
        Self { options: self.options.clone(), database: PhantomData }
    }
}

impl<DB: SqlDatabase> fmt::Debug for SqlBuilder<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("SqlBuilder").field(&self.options).finish()
    }
}
