//! What the databases differ in: their words for the same statements.
//!
//! Batches go as one JSON array, which every one of them makes rows of, so that one prepared statement takes any number of events.
//!
//! | statement | does |
//! |---|---|
//! | insert | one event, in the user's transaction |
//! | survey | the next lanes behind a place, with the first events of each: from lane to lane by the index, so that its cost does not depend on how much waits in a lane |
//! | take | leases those events of a list that are still free |
//! | renew, remove, settle | what an owner says of its events; each compares the owner |

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

/// A database that can hold an outbox: [`sqlx::Postgres`], [`sqlx::MySql`] and [`sqlx::Sqlite`], each with its feature. It is sealed.
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
    pub(super) survey: Arc<str>,
    /// `lane, seq, is free` of all events, to be narrowed down, where `survey` gives the first of each lane alone.
    #[cfg(feature = "mysql")]
    pub(super) lane_events: Arc<str>,
    /// `[seq], owner, lease`.
    pub(super) take: Arc<str>,
    /// `[seq], owner`, where `take` gives no rows.
    #[cfg(feature = "mysql")]
    pub(super) taken: Arc<str>,
    /// `[{seq, owner}], lease`: the seqs still owned.
    pub(super) renew: Arc<str>,
    /// `[{seq, owner}]`, where `renew` gives no rows.
    #[cfg(feature = "mysql")]
    pub(super) owned: Arc<str>,
    /// `[{seq, owner}]`: published.
    pub(super) remove: Arc<str>,
    /// `[{seq, owner, delay, failed, dead, error}]`: not published.
    pub(super) settle: Arc<str>,
    /// `limit`: `id, topic, key, payload, enqueued_at, attempts, last_error, dead_at, seq, is blocking its key`.
    pub(super) dead: Arc<str>,
    /// `id`: likewise.
    pub(super) dead_one: Arc<str>,
    /// `lane, seq`: makes a dead event wait again, in its place.
    pub(super) revive: Arc<str>,
    /// `lane, seq`: likewise, at the end of its lane; the old row stays.
    pub(super) append: Arc<str>,
    /// `seq`: removes a dead event.
    pub(super) discard: Arc<str>,
}

/// A lane's event that a survey saw.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    pub(crate) lane: i64,
    pub(crate) seq: i64,
    /// Nobody has it leased, and it does not wait for its next attempt.
    pub(crate) is_free: bool,
}

/// What is to be looked at: lanes behind `after`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) after: i64,
    pub(crate) lanes: i64,
    pub(crate) events: i64,
}

/// What an error of the database means, beyond that nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The table is not there.
    NoTable,
    /// It has other columns.
    OtherTable,
    /// Somebody has to change something.
    Refused,
    /// It may work a moment later.
    Passing,
}

pub(crate) type Rows<'c, DB> = BoxFuture<'c, sqlx::Result<Vec<<DB as sqlx::Database>::Row>>>;

/// How a database is talked to.
pub(crate) trait OutboxDialect: sql::Dialect {
    /// Its name in errors.
    const CALLED: &'static str;
    const QUOTE: Quote;
    const MIGRATIONS: Migrations;
    /// Where those who make the tables themselves find the statements.
    const SCHEMA: &'static str;

    /// What the statements of one look at the table, or one write to it, begin with where they are a transaction of their own, so that
    /// no setting of the session matters to them. Behind a pooler a session's settings would be somebody else's next.
    const BEGIN: Option<&'static str> = None;

    fn statements(table: &Table) -> Statements;

    /// Tells a new connection what its statements rely on.
    fn prepare(_connection: &mut Self::Connection) -> BoxFuture<'_, sqlx::Result<()>> {
        Box::pin(std::future::ready(Ok(())))
    }

    /// Runs a statement.
    fn fetch(
        connection: &mut Self::Connection,
        sql: Arc<str>,
        arguments: Vec<Value>,
    ) -> Rows<'_, Self>;

    /// Runs a statement and gives the number of rows that it changed.
    fn execute(
        connection: &mut Self::Connection,
        sql: Arc<str>,
        arguments: Vec<Value>,
    ) -> BoxFuture<'_, sqlx::Result<u64>>;

    /// What the next lanes have.
    fn survey(
        connection: &mut Self::Connection,
        statements: Arc<Statements>,
        window: Window,
    ) -> BoxFuture<'_, sqlx::Result<Vec<Seen>>>;

    /// Leases events and gives those it could have: `seq, lane, id, topic, key, payload, enqueued_at, attempts`.
    fn take(
        connection: &mut Self::Connection,
        statements: Arc<Statements>,
        arguments: Vec<Value>,
    ) -> Rows<'_, Self>;

    /// Extends leases and gives the seqs still owned.
    fn renew(
        connection: &mut Self::Connection,
        statements: Arc<Statements>,
        arguments: Vec<Value>,
    ) -> Rows<'_, Self>;

    /// Begins a transaction that writes from its beginning.
    fn begin_writing(
        connection: &mut Self::Connection,
    ) -> BoxFuture<'_, sqlx::Result<Transaction<'_, Self>>>;

    fn text(row: &Self::Row, column: usize) -> sqlx::Result<String>;
    fn optional_text(row: &Self::Row, column: usize) -> sqlx::Result<Option<String>>;
    fn bytes(row: &Self::Row, column: usize) -> sqlx::Result<Vec<u8>>;

    fn trouble(error: &dyn DatabaseError) -> Trouble;
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

/// What is the same in all databases and yet has to be written for each, since its types are the database's.
macro_rules! speaks {
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
use speaks;

/// The rows of a survey.
fn seen<DB: OutboxDialect>(rows: &[DB::Row]) -> sqlx::Result<Vec<Seen>> {
    let seen = |row| {
        let is_free = DB::integer(row, 2)? != 0;
        Ok(Seen { lane: DB::integer(row, 0)?, seq: DB::integer(row, 1)?, is_free })
    };
    rows.iter().map(seen).collect()
}
