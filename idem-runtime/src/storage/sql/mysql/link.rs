//! Statements on their way to the server and back.
//!
//! # Transactions that others left open
//!
//! A `begin` that is given up half way leaves its connection inside a transaction (sqlx 0.9.0), and the pool may be the application's. What is
//! written on such a connection would be part of that transaction, and be lost with it. So what writes on a connection of the application's
//! makes sure that there is none: see [`Guard`]. If there is one, the connection is closed, and the batch goes again on another.

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlPool, MySqlRow};
use sqlx::pool::PoolConnection;
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Error, MySql, RawSql};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::super::fault::Fault;
use super::super::table::Table;
use super::super::transaction::broken_up;
use super::error::{Broken, explain, no_answer};
use super::statements::Write;
use super::values::{Value, bound, written_out};
use super::verbs::get;

/// The pool, and the tables that statements are about.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) pool: MySqlPool,
    pub(super) table: Table,
    pub(super) response_timeout: Duration,
    /// Others use the pool as well.
    pub(super) is_shared: bool,
    /// What the server is, once that has been asked.
    pub(super) server: OnceCell<Server>,
}

/// What has to be known of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) is_mariadb: bool,
    /// A lock that is not had in time ends the transaction, not the statement alone.
    pub(super) rolls_back: bool,
    /// Its replicas run the statements again, each inside a transaction.
    repeats: bool,
}

/// How it is known that a write is not inside a transaction of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Guard {
    /// It is known.
    Known,
    /// By [`OUTSIDE`], which goes out before the first write.
    Asks,
    /// By the write itself, which does nothing inside of one. `MariaDB` has a variable for it.
    Tells,
}

/// Refused inside of a transaction. Elsewhere it says of the next one what holds wherever records can be written.
pub(super) const OUTSIDE: &str = "SET TRANSACTION READ WRITE";

impl Link {
    /// A connection, for the statements of one batch.
    pub(super) async fn session(&self) -> Result<Session<'_>, Fault> {
        let acquired = self.pool.acquire().await;
        let connection = acquired.map_err(|error| explain(error, false, &self.table).0)?;
        let place = Place::Alone { connection, guard: Guard::Known };
        let mut session = Session::new(place, self);
        if self.is_shared {
            let server = session.server().await?;
            session.guard(server);
        }
        Ok(session)
    }

    /// The application's connection, for statements that are part of the transaction that it is in.
    pub(super) fn within<'a>(&'a self, connection: &'a mut MySqlConnection) -> Session<'a> {
        Session::new(Place::Within(connection), self)
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
    /// Statements that go in one text with the next one in a transaction, before it and after it.
    before: &'static str,
    after: String,
}

/// Where statements run.
enum Place<'a> {
    /// On a connection of the pool. Each statement commits by itself.
    Alone { connection: PoolConnection<MySql>, guard: Guard },
    /// In the application's transaction.
    Within(&'a mut MySqlConnection),
}

impl Place<'_> {
    fn connection(&mut self) -> &mut MySqlConnection {
        match self {
            Self::Alone { connection, .. } => connection,
            Self::Within(connection) => connection,
        }
    }
}

impl<'a> Session<'a> {
    fn new(place: Place<'a>, link: &'a Link) -> Self {
        Self { place, is_broken: false, link, before: "", after: String::new() }
    }

    /// Sends statements in one text with the next one in the transaction, before it. That one runs only if they succeed.
    pub(super) fn send_before(&mut self, statements: &'static str) {
        self.before = statements;
    }

    /// Likewise after it: they run only if it succeeds.
    pub(super) fn send_after(&mut self, statements: String) {
        self.after = statements;
    }

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
            Place::Alone { connection, .. } => {
                timeout(limit, prepared(sql, values).fetch_all(&mut **connection)).await
            }
            Place::Within(connection) => {
                let sql = together(&mut self.before, written_out(sql, values), &mut self.after);
                timeout(limit, plain(sql).fetch_all(&mut **connection)).await
            }
        };
        self.checked(answer.ok())
    }

    /// Runs a statement that writes, and gives the number of rows that it met or changed.
    pub(super) async fn execute(
        &mut self,
        write: &Write,
        values: &[Value<'_>],
    ) -> Result<u64, Fault> {
        let limit = self.link.response_timeout;
        let tells = self.is_guarded_by(Guard::Tells);
        if !tells {
            self.outside().await?;
        }
        let answer = match &mut self.place {
            Place::Alone { connection, .. } => {
                let sql = if tells { &write.outside } else { &write.anywhere };
                timeout(limit, prepared(sql, values).execute(&mut **connection)).await
            }
            Place::Within(connection) => {
                let sql = written_out(&write.anywhere, values);
                let sql = together(&mut self.before, sql, &mut self.after);
                timeout(limit, plain(sql).execute(&mut **connection)).await
            }
        };
        let count = self.checked(answer.ok())?.rows_affected();
        if tells && count == 0 {
            self.outside().await?;
        }
        Ok(count)
    }

    fn is_guarded_by(&self, by: Guard) -> bool {
        matches!(&self.place, Place::Alone { guard, .. } if *guard == by)
    }

    /// Fails inside a transaction that others left open.
    pub(super) async fn outside(&mut self) -> Result<(), Fault> {
        if let Place::Alone { guard: guard @ (Guard::Asks | Guard::Tells), .. } = &mut self.place {
            *guard = Guard::Known;
            self.run(OUTSIDE.to_owned()).await?;
        }
        Ok(())
    }

    fn guard(&mut self, server: Server) {
        if let Place::Alone { guard, .. } = &mut self.place {
            *guard = if server.is_mariadb && !server.repeats { Guard::Tells } else { Guard::Asks };
        }
    }

    /// What the server is.
    pub(super) async fn server(&mut self) -> Result<Server, Fault> {
        let link = self.link;
        let ask = async || {
            let mut first = async |ask: &str| {
                let row = self.run(ask.to_owned()).await?.into_iter().next();
                row.ok_or_else(|| Fault::unreadable(broken_up()))
            };
            let row = first("SELECT VERSION(), @@innodb_rollback_on_timeout").await?;
            let version: String = get(&row, 0).map_err(Fault::unreadable)?;
            let rolls_back: i64 = get(&row, 1).map_err(Fault::unreadable)?;
            let is_mariadb = version.contains("MariaDB");
            let repeats = is_mariadb && {
                let row = first("SELECT @@log_bin AND @@binlog_format = 'STATEMENT'").await?;
                get::<i64>(&row, 0).map_err(Fault::unreadable)? != 0
            };
            Ok(Server { is_mariadb, rolls_back: rolls_back != 0, repeats })
        };
        link.server.get_or_try_init(ask).await.copied()
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
            if let Place::Alone { connection, .. } = &mut self.place {
                connection.close_on_drop();
            }
        }
        Err(fault)
    }
}

/// A statement with those that go with it, once.
fn together(before: &mut &'static str, sql: String, after: &mut String) -> String {
    let (before, after) = (std::mem::take(before), std::mem::take(after));
    if before.is_empty() && after.is_empty() { sql } else { format!("{before}{sql}{after}") }
}

fn prepared(sql: &Arc<str>, values: &[Value<'_>]) -> Query<'static, MySql, MySqlArguments> {
    // The text has our own statements and checked names in it.
    bound(sqlx::query(AssertSqlSafe(Arc::clone(sql))), values)
}

fn plain(sql: String) -> RawSql {
    // Likewise, and values that are digits.
    sqlx::raw_sql(AssertSqlSafe(sql))
}
