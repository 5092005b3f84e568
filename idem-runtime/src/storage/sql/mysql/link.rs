//! Statements on their way to the server and back.

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlPool, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Error, MySql, RawSql};
use tokio::time::timeout;

use super::super::fault::Fault;
use super::super::table::Table;
use super::error::{Broken, explain, no_answer};
use super::values::{Value, bound, written_out};

/// The pool, and the tables that statements are about.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) pool: MySqlPool,
    pub(super) table: Table,
    pub(super) response_timeout: Duration,
}

impl Link {
    /// A connection, for the statements of one batch.
    pub(super) async fn session(&self) -> Result<Session<'_>, Fault> {
        let acquired = self.pool.acquire().await;
        let connection = acquired.map_err(|error| explain(error, false, &self.table).0)?;
        Ok(Session { place: Place::Alone(connection), is_broken: false, link: self })
    }

    /// The application's connection, for statements that are part of the transaction that it is in.
    pub(super) fn within<'a>(&'a self, connection: &'a mut MySqlConnection) -> Session<'a> {
        Session { place: Place::Within(connection), is_broken: false, link: self }
    }

    /// Runs a statement that reads.
    pub(super) async fn fetch(
        &self,
        sql: &Arc<str>,
        values: &[Value<'_>],
    ) -> Result<Vec<MySqlRow>, Fault> {
        self.session().await?.fetch(sql, values).await
    }
}

/// A connection.
pub(super) struct Session<'a> {
    place: Place<'a>,
    is_broken: bool,
    link: &'a Link,
}

/// Where statements run.
enum Place<'a> {
    /// On a connection of the pool. Each statement commits by itself.
    Alone(PoolConnection<MySql>),
    /// In the application's transaction.
    Within(&'a mut MySqlConnection),
}

impl Place<'_> {
    fn connection(&mut self) -> &mut MySqlConnection {
        match self {
            Self::Alone(connection) => connection,
            Self::Within(connection) => connection,
        }
    }
}

impl Session<'_> {
    /// Takes another connection where this one broke.
    pub(super) async fn mend(&mut self) -> Result<(), Fault> {
        if self.is_broken {
            *self = self.link.session().await?;
        }
        Ok(())
    }

    /// Runs a statement that reads, and gives its rows.
    pub(super) async fn fetch(
        &mut self,
        sql: &Arc<str>,
        values: &[Value<'_>],
    ) -> Result<Vec<MySqlRow>, Fault> {
        let limit = self.link.response_timeout;
        let answer = match &mut self.place {
            Place::Alone(connection) => {
                timeout(limit, prepared(sql, values).fetch_all(&mut **connection)).await
            }
            Place::Within(connection) => {
                timeout(limit, plain(written_out(sql, values)).fetch_all(&mut **connection)).await
            }
        };
        self.checked(answer.ok())
    }

    /// Runs a statement that writes, and gives the number of rows that it met or changed.
    pub(super) async fn execute(
        &mut self,
        sql: &Arc<str>,
        values: &[Value<'_>],
    ) -> Result<u64, Fault> {
        let limit = self.link.response_timeout;
        let answer = match &mut self.place {
            Place::Alone(connection) => {
                timeout(limit, prepared(sql, values).execute(&mut **connection)).await
            }
            Place::Within(connection) => {
                timeout(limit, plain(written_out(sql, values)).execute(&mut **connection)).await
            }
        };
        Ok(self.checked(answer.ok())?.rows_affected())
    }

    /// Runs statements that cannot be prepared, and gives their rows.
    pub(super) async fn run(&mut self, sql: String) -> Result<Vec<MySqlRow>, Fault> {
        let answer = plain(sql).fetch_all(self.place.connection());
        let answer = timeout(self.link.response_timeout, answer).await;
        self.checked(answer.ok())
    }

    fn checked<T>(&mut self, answer: Option<Result<T, Error>>) -> Result<T, Fault> {
        let (fault, broken) = match answer {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => explain(error, true, &self.link.table),
            None => (no_answer(), Broken::Yes),
        };
        if broken == Broken::Yes {
            self.is_broken = true;
            if let Place::Alone(connection) = &mut self.place {
                connection.close_on_drop();
            }
        }
        Err(fault)
    }
}

fn prepared(sql: &Arc<str>, values: &[Value<'_>]) -> Query<'static, MySql, MySqlArguments> {
    // The text has our own statements and checked names in it.
    bound(sqlx::query(AssertSqlSafe(Arc::clone(sql))), values)
}

fn plain(sql: String) -> RawSql {
    // Likewise, and values that are digits.
    sqlx::raw_sql(AssertSqlSafe(sql))
}
