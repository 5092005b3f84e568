//! A statement on its way to the server and back.

use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgArguments, PgConnection, PgPool, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres};

use super::super::fault::Fault;
use super::super::table::Table;
use super::error::{Broken, explain, no_answer};

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
}

impl Link {
    /// Runs a statement by itself, which commits it, and gives its rows.
    pub(super) async fn fetch<'q>(
        &self,
        sql: &Arc<str>,
        bind: impl FnOnce(Bound<'q>) -> Bound<'q>,
    ) -> Result<Vec<PgRow>, Fault> {
        // The text has our own statements and checked names in it.
        let query = bind(sqlx::query(AssertSqlSafe(Arc::clone(sql))));
        let acquired = self.pool.acquire().await;
        let connection = acquired.map_err(|error| explain(error, false, &self.table).0)?;
        // A statement that is given up is read to its end by the next who gets the connection; a transaction would stay open.
        let mut connection = Lent { connection, whole: self.named_statements };
        let running = async {
            if self.named_statements {
                query.fetch_all(&mut *connection.connection).await
            } else {
                pinned(query.persistent(false), &mut connection.connection).await
            }
        };
        let (answer, broken) = self.answer(running).await;
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

    /// What became of a statement, and of its connection.
    async fn answer(
        &self,
        running: impl Future<Output = Result<Vec<PgRow>, sqlx::Error>>,
    ) -> (Result<Vec<PgRow>, Fault>, Broken) {
        match tokio::time::timeout(self.response_timeout, running).await {
            Ok(Ok(rows)) => (Ok(rows), Broken::No),
            Ok(Err(error)) => {
                let (fault, broken) = explain(error, true, &self.table);
                (Err(fault), broken)
            }
            Err(_) => (Err(no_answer()), Broken::Yes),
        }
    }
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
