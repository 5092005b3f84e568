//! A statement on its way to the server and back.
//!
//! # Transactions that others left open
//!
//! A `begin` that is given up half way leaves its connection inside a transaction (sqlx 0.9.0), and the pool may be the application's. A
//! write that goes out on such a connection would be part of that transaction, and be lost with it; a read might not see what others have
//! committed since. So statements say whether their transaction is older than they are. Then the server is asked whether it is still open, and
//! if so the connection is closed, which undoes a write, and the statement goes again on another.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row};

use super::super::fault::Fault;
use super::super::table::Table;
use super::error::{Broken, explain, left_open, no_answer, uncertain};

/// The pool, and how statements use its connections.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) pool: PgPool,
    pub(super) table: Table,
    pub(super) response_timeout: Duration,
    /// Whether statements may be prepared under a name, which lasts as long as the connection to the server.
    pub(super) named_statements: bool,
}

pub(super) type Bound<'q> = Query<'q, Postgres, PgArguments>;

/// Where the statements of a batch run.
pub(super) enum Session<'a> {
    /// Each by itself, on a connection of the pool, which commits it.
    Alone(&'a Link),
    /// In the transaction that a connection of the application's is in.
    Within(&'a Link, &'a mut PgConnection),
}

impl Session<'_> {
    /// Runs a statement, and gives its rows.
    pub(super) async fn fetch<'q>(
        &mut self,
        sql: &Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
    ) -> Result<Vec<PgRow>, Fault> {
        match self {
            Self::Alone(link) => link.fetch(sql, bind).await,
            Self::Within(link, connection) => link.fetch_within(connection, sql, bind).await,
        }
    }

    /// Likewise, see [`Link::outside`], for a statement that must not be part of anybody's transaction but the application's own.
    pub(super) async fn outside<'q>(
        &mut self,
        sql: &Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
        is_inside: usize,
    ) -> Result<Vec<PgRow>, Fault> {
        match self {
            Self::Alone(link) => link.outside(sql, bind, is_inside).await,
            // It is to be part of a transaction of others.
            Self::Within(link, connection) => link.fetch_within(connection, sql, bind).await,
        }
    }
}

impl Link {
    /// Runs a statement by itself, which commits it, and gives its rows.
    pub(super) async fn fetch<'q>(
        &self,
        sql: &Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
    ) -> Result<Vec<PgRow>, Fault> {
        self.run(sql, bind, None).await
    }

    /// Likewise for a statement that must not be part of anybody's transaction: its column `is_inside` is true where it may be.
    pub(super) async fn outside<'q>(
        &self,
        sql: &Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
        is_inside: usize,
    ) -> Result<Vec<PgRow>, Fault> {
        self.run(sql, bind, Some(is_inside)).await
    }

    async fn run<'q>(
        &self,
        sql: &Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
        is_inside: Option<usize>,
    ) -> Result<Vec<PgRow>, Fault> {
        // The text has our own statements and checked names in it.
        let query = bind(sqlx::query(AssertSqlSafe(Arc::clone(sql))));
        let acquired = self.pool.acquire().await;
        let connection = acquired.map_err(|error| explain(error, false, &self.table).0)?;
        // A statement that is given up is read to its end by the next who gets the connection; a transaction would stay open.
        let mut connection = Lent { connection, whole: self.named_statements };
        let running = async {
            if !self.named_statements {
                let rows = pinned(query.persistent(false), &mut connection.connection).await?;
                return Ok((rows, Ok(false)));
            }
            let rows = query.fetch_all(&mut *connection.connection).await?;
            let is_inside = |row: &PgRow| {
                is_inside
                    .is_some_and(|column| row.try_get(column).unwrap_or(Some(true)) == Some(true))
            };
            let is_open = if rows.iter().any(is_inside) {
                is_inside_transaction(&mut connection.connection).await
            } else {
                Ok(false)
            };
            Ok((rows, is_open))
        };
        let (answer, broken) = match self.answer(running).await {
            (Ok((_, Ok(true))), _) => (Err(left_open()), Broken::Yes),
            (Ok((_, Err(error))), _) => (Err(uncertain(error)), Broken::Yes),
            (Ok((rows, Ok(false))), broken) => (Ok(rows), broken),
            (Err(fault), broken) => (Err(fault), broken),
        };
        connection.whole = broken == Broken::No;
        answer
    }

    /// Runs a statement in the transaction that `connection` is in.
    async fn fetch_within<'q>(
        &self,
        connection: &mut PgConnection,
        sql: &Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
    ) -> Result<Vec<PgRow>, Fault> {
        let query = bind(sqlx::query(AssertSqlSafe(Arc::clone(sql))));
        self.answer(query.persistent(self.named_statements).fetch_all(connection)).await.0
    }

    /// Likewise, without arguments, for one that leaves nothing prepared behind.
    pub(super) async fn raw_within(
        &self,
        connection: &mut PgConnection,
        sql: &'static str,
    ) -> Result<Vec<PgRow>, Fault> {
        self.answer(sqlx::raw_sql(sql).fetch_all(connection)).await.0
    }

    /// What became of a statement, and of its connection.
    async fn answer<T>(
        &self,
        running: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> (Result<T, Fault>, Broken) {
        match tokio::time::timeout(self.response_timeout, running).await {
            Ok(Ok(answer)) => (Ok(answer), Broken::No),
            Ok(Err(error)) => {
                let (fault, broken) = explain(error, true, &self.table);
                (Err(fault), broken)
            }
            Err(_) => (Err(no_answer()), Broken::Yes),
        }
    }
}

/// Whether a transaction is open. Of what is not prepared nothing is sent ahead.
async fn is_inside_transaction(connection: &mut PgConnection) -> Result<bool, sqlx::Error> {
    let inside = "SELECT statement_timestamp() > transaction_timestamp()";
    sqlx::raw_sql(inside).fetch_one(connection).await?.try_get(0)
}

/// A connection of the pool, which is closed rather than given back in the middle of something.
struct Lent {
    connection: PoolConnection<Postgres>,
    whole: bool,
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.whole {
            self.connection.close_on_drop();
        }
    }
}

/// Runs a statement in a transaction of its own: a pooler that hands a server connection to one transaction at a time would else prepare it
/// on one and run it on another.
async fn pinned(
    query: Bound<'_>,
    connection: &mut PgConnection,
) -> Result<Vec<PgRow>, sqlx::Error> {
    sqlx::raw_sql("BEGIN ISOLATION LEVEL READ COMMITTED").execute(&mut *connection).await?;
    let rows = query.fetch_all(&mut *connection).await;
    let end = if rows.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::raw_sql(end).execute(&mut *connection).await;
    // The error of the statement says more than that of its end.
    let rows = rows?;
    ended?;
    Ok(rows)
}
