//! A statement on its way to the database and back.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnection, SqlitePool, SqliteRow};
use sqlx::{AssertSqlSafe, Sqlite};
use tokio::sync::Mutex;

use super::super::fault::Fault;
use super::super::table::Table;
use super::error::explain;

/// The pool, and how statements use its connections.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) pool: SqlitePool,
    pub(super) table: Table,
    /// One statement of this process writes at a time: a second one would only ask again and again whether the first has ended.
    writing: Mutex<()>,
}

pub(super) type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Where the statements of a batch run.
pub(super) enum Session<'a> {
    /// Each by itself, on a connection of the pool, which commits it.
    Alone(&'a Link),
    /// In the transaction that a connection of the application's is in.
    Within(&'a Link, &'a mut SqliteConnection),
}

impl Session<'_> {
    /// Runs a statement that reads.
    pub(super) async fn read<'q>(
        &mut self,
        sql: Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
    ) -> Result<Vec<SqliteRow>, Fault> {
        match self {
            Self::Alone(link) => link.read(sql, bind).await,
            Self::Within(link, connection) => {
                let rows = prepared(sql, bind).fetch_all(&mut **connection).await;
                rows.map_err(|error| explain(error, true, &link.table))
            }
        }
    }

    /// Runs a statement that writes.
    pub(super) async fn write<'q>(
        &mut self,
        sql: Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
    ) -> Result<Vec<SqliteRow>, Fault> {
        match self {
            Self::Alone(link) => link.write(sql, bind).await,
            Self::Within(..) => self.read(sql, bind).await,
        }
    }
}

fn prepared<'q>(sql: Arc<str>, bind: impl FnOnce(Bound<'q>) -> Bound<'q>) -> Bound<'q> {
    // The text has our own statements and checked names in it.
    bind(sqlx::query(AssertSqlSafe(sql)))
}

impl Link {
    pub(super) fn new(pool: SqlitePool, table: Table) -> Self {
        Self { pool, table, writing: Mutex::default() }
    }

    /// Runs a statement that reads.
    pub(super) async fn read<'q>(
        &self,
        sql: Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
    ) -> Result<Vec<SqliteRow>, Fault> {
        let acquired = self.pool.acquire().await;
        let mut connection = acquired.map_err(|error| explain(error, false, &self.table))?;
        let rows = prepared(sql, bind).fetch_all(&mut *connection).await;
        rows.map_err(|error| explain(error, true, &self.table))
    }

    /// Runs a statement that writes, by itself, which commits it.
    pub(super) async fn write<'q>(
        &self,
        sql: Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
    ) -> Result<Vec<SqliteRow>, Fault> {
        let _writing = self.writing.lock().await;
        self.read(sql, bind).await
    }
}
