//! The statements of each database.
//!
//! A batch is one JSON array, which every database turns into rows. So one prepared statement takes
//! any number of events.
//!
//! | statement | does |
//! |---|---|
//! | insert | one event, in the user's transaction |
//! | list_pending | reads the first events of the next lanes; it goes from lane to lane by the index, so its cost does not depend on a lane's backlog |
//! | lease | leases the events of a list that are still free |
//! | renew, remove, nack | an owner extends its leases, removes published events, or gives events back; each compares the owner |

#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(feature = "sqlite")]
mod sqlite;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use sqlx::Transaction;
use sqlx::error::DatabaseError;

use idem_runtime::internal::sql::{self, Migrations, Quote, Table};

/// The outbox's table in Postgres, as `migrate()` makes it under its default name.
///
/// ```sql
#[doc = include_str!("postgres.sql")]
/// ```
#[cfg(feature = "postgres")]
pub const POSTGRES_SCHEMA: &str = include_str!("postgres.sql");

/// The outbox's table in MySQL and MariaDB, as `migrate()` makes it under its default name.
///
/// ```sql
#[doc = include_str!("mysql.sql")]
/// ```
#[cfg(feature = "mysql")]
pub const MYSQL_SCHEMA: &str = include_str!("mysql.sql");

/// The outbox's table in SQLite, as `migrate()` makes it under its default name.
///
/// ```sql
#[doc = include_str!("sqlite.sql")]
/// ```
#[cfg(feature = "sqlite")]
pub const SQLITE_SCHEMA: &str = include_str!("sqlite.sql");

/// The table's name in the `.sql` files.
pub(crate) const DEFAULT_TABLE: &str = "idempotency_outbox";

/// A database that can hold an outbox: [`sqlx::Postgres`], [`sqlx::MySql`] and [`sqlx::Sqlite`],
/// each with its feature. It is sealed.
#[expect(private_bounds, reason = "that is what seals a trait")]
pub trait OutboxDatabase: OutboxDialect {}

impl<DB: OutboxDialect> OutboxDatabase for DB {}

/// An argument of a statement.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Integer(i64),
    Text(String),
    Bytes(Vec<u8>),
}

/// The text of all statements, for one table.
#[derive(Debug)]
pub(crate) struct Statements {
    /// `id, lane, topic, key, payload`.
    pub(super) insert: Arc<str>,
    /// `after, lanes, events of each`: `lane, seq, is free`.
    pub(super) list_pending: Arc<str>,
    /// `lane, seq, is free` of all events, without conditions, where `list_pending` gives one event
    /// of each lane.
    #[cfg(feature = "mysql")]
    pub(super) lane_events: Arc<str>,
    /// `[seq], owner, lease`.
    pub(super) lease: Arc<str>,
    /// `[seq], owner`, where `lease` gives no rows.
    #[cfg(feature = "mysql")]
    pub(super) leased: Arc<str>,
    /// `[{seq, owner}], lease`: the seqs still owned.
    pub(super) renew: Arc<str>,
    /// `[{seq, owner}]`, where `renew` gives no rows.
    #[cfg(feature = "mysql")]
    pub(super) owned: Arc<str>,
    /// `[{seq, owner}]`: published.
    pub(super) remove: Arc<str>,
    /// `[{seq, owner, delay, failed, dead, error}]`: not published.
    pub(super) nack: Arc<str>,
    /// `limit`: `id, topic, key, payload, enqueued_at, attempts, last_error, dead_at, seq, is
    /// blocking`.
    pub(super) dead: Arc<str>,
    /// `id`: the same columns.
    pub(super) dead_one: Arc<str>,
    /// `lane, seq`: makes a dead letter pending again, in its place.
    pub(super) revive: Arc<str>,
    /// `lane, seq`: copies a dead letter to the end of its lane as a pending event.
    pub(super) append: Arc<str>,
    /// `seq`: removes a dead letter.
    pub(super) discard: Arc<str>,
}

/// An event in the table, as `list_pending` reads it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PendingEvent {
    pub(crate) lane: i64,
    pub(crate) seq: i64,
    /// It is not leased, and its next attempt is due.
    pub(crate) is_free: bool,
}

/// Which lanes `list_pending` reads: those behind `after`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) after: i64,
    pub(crate) lanes: i64,
    pub(crate) events: i64,
}

/// Why a database refused a statement. It changed nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The table does not exist.
    MissingTable,
    /// The table has other columns.
    OtherColumns,
    /// The user lacks a right, or the configuration is wrong.
    Denied,
    /// The statement may succeed a moment later.
    Transient,
}

pub(crate) type Rows<'c, DB> = BoxFuture<'c, sqlx::Result<Vec<<DB as sqlx::Database>::Row>>>;

/// A database as relays and tools use it.
pub(crate) trait OutboxDialect: sql::Dialect {
    /// Its name in errors.
    const PRODUCT: &'static str;
    const QUOTE: Quote;
    const MIGRATIONS: Migrations;
    /// The statements that make the table, for applications with a migrator of their own.
    const SCHEMA: &'static str;

    /// Begins the transaction of one read or one write, with the settings that it relies on. Behind
    /// a pooler, settings of the session would apply to other clients.
    const BEGIN: Option<&'static str> = None;

    fn statements(table: &Table) -> Statements;

    /// Sets up a new connection.
    fn prepare(_connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Runs a statement.
    fn fetch(
        connection: &mut Self::Connection,
        sql: Arc<str>,
        arguments: Vec<Value>,
    ) -> Rows<'_, Self>;

    /// Runs a statement, and returns the number of changed rows.
    fn execute(
        connection: &mut Self::Connection,
        sql: Arc<str>,
        arguments: Vec<Value>,
    ) -> BoxFuture<'_, sqlx::Result<u64>>;

    /// Reads the first events of the next lanes.
    fn list_pending(
        connection: &mut Self::Connection,
        statements: Arc<Statements>,
        Window { after, lanes, events }: Window,
    ) -> BoxFuture<'_, sqlx::Result<Vec<PendingEvent>>> {
        let arguments = [after, lanes, events].map(Value::Integer).to_vec();
        let sql = Arc::clone(&statements.list_pending);
        Box::pin(async move { pending::<Self>(&Self::fetch(connection, sql, arguments).await?) })
    }

    /// Leases events, and returns the leased ones:
    /// `seq, lane, id, topic, key, payload, enqueued_at, attempts`.
    fn lease(
        connection: &mut Self::Connection,
        statements: Arc<Statements>,
        arguments: Vec<Value>,
    ) -> Rows<'_, Self> {
        Self::fetch(connection, Arc::clone(&statements.lease), arguments)
    }

    /// Extends leases, and returns the `seq` of each.
    fn renew(
        connection: &mut Self::Connection,
        statements: Arc<Statements>,
        arguments: Vec<Value>,
    ) -> Rows<'_, Self> {
        Self::fetch(connection, Arc::clone(&statements.renew), arguments)
    }

    /// Begins a transaction that holds the write lock from its beginning.
    fn begin_writing(
        connection: &mut Self::Connection,
    ) -> BoxFuture<'_, sqlx::Result<Transaction<'_, Self>>>;

    fn text(row: &Self::Row, column: usize) -> sqlx::Result<String>;
    fn optional_text(row: &Self::Row, column: usize) -> sqlx::Result<Option<String>>;
    fn bytes(row: &Self::Row, column: usize) -> sqlx::Result<Vec<u8>>;

    fn classify(error: &dyn DatabaseError) -> Refusal;
}

/// A statement with its arguments.
macro_rules! bound {
    ($sql:ident, $arguments:ident) => {{
        // The text has our own statements and checked names in it.
        let query = sqlx::query(sqlx::AssertSqlSafe($sql));
        $arguments.into_iter().fold(query, |query, argument| match argument {
            crate::database::Value::Integer(integer) => query.bind(integer),
            crate::database::Value::Text(text) => query.bind(text),
            crate::database::Value::Bytes(bytes) => query.bind(bytes),
        })
    }};
}
use bound;

/// Methods with one text whose types are the driver's.
macro_rules! driver_types {
    () => {
        fn fetch(
            connection: &mut Self::Connection,
            sql: std::sync::Arc<str>,
            arguments: Vec<crate::database::Value>,
        ) -> crate::database::Rows<'_, Self> {
            Box::pin(
                async move { crate::database::bound!(sql, arguments).fetch_all(connection).await },
            )
        }

        fn execute(
            connection: &mut Self::Connection,
            sql: std::sync::Arc<str>,
            arguments: Vec<crate::database::Value>,
        ) -> futures_util::future::BoxFuture<'_, sqlx::Result<u64>> {
            Box::pin(async move {
                let query = crate::database::bound!(sql, arguments);
                Ok(query.execute(connection).await?.rows_affected())
            })
        }

        fn text(row: &Self::Row, column: usize) -> sqlx::Result<String> {
            sqlx::Row::try_get(row, column)
        }

        fn optional_text(row: &Self::Row, column: usize) -> sqlx::Result<Option<String>> {
            sqlx::Row::try_get(row, column)
        }

        fn bytes(row: &Self::Row, column: usize) -> sqlx::Result<Vec<u8>> {
            sqlx::Row::try_get(row, column)
        }
    };
}
use driver_types;

/// The rows of `list_pending`.
fn pending<DB: OutboxDialect>(rows: &[DB::Row]) -> sqlx::Result<Vec<PendingEvent>> {
    let event = |row| {
        let is_free = DB::integer(row, 2)? != 0;
        Ok(PendingEvent { lane: DB::integer(row, 0)?, seq: DB::integer(row, 1)?, is_free })
    };
    rows.iter().map(event).collect()
}
