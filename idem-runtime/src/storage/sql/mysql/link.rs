//! Runs statements on the server.
//!
//! # Settings
//!
//! Statements rely on session settings that a server may set differently: autocommit, a short lock
//! wait, and strict mode. Every connection sets them once ([`SETTINGS`]), after the server's
//! `init_connect` and the application's hooks.

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{
    MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlPoolOptions, MySqlRow,
};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Error, MySql, RawSql};
use tokio::sync::OnceCell;
use tokio::time::timeout;

use super::super::connections::{Connections, Lent, Share};
use super::super::database::SqlOptions;
use super::super::row::get;
use super::super::server::{Broken, no_answer};
use super::super::statement_error::{SendState, StatementError};
use super::super::table::Table;
use super::super::transaction::aborted;
use super::error::{explain, on_acquire};
use super::statements::Write;
use super::values::{SqlValue, bound, written_out};

/// The storage's connections, and the tables that statements are about.
#[derive(Debug)]
pub(super) struct MySqlLink {
    connections: Connections<MySql>,
    pub(super) patience: Duration,
    pub(super) table: Table,
    pub(super) response_timeout: Duration,
    /// The server's product and settings, once they were read.
    server: OnceCell<Server>,
}

/// The server's product and settings on which statements depend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Server {
    pub(super) is_mariadb: bool,
    /// A lock wait timeout ends the transaction, not the statement alone.
    pub(super) rolls_back: bool,
}

/// Sent before a session's first statement. Lock waits are in whole seconds. A server with
/// `binlog_format = STATEMENT` refuses to write under `READ COMMITTED`.
pub const SETTINGS: &str = "ROLLBACK; SET SESSION autocommit = 1, innodb_lock_wait_timeout = 1, lock_wait_timeout = 1, \
                        sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'; \
                        SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ";

/// Refused inside a transaction. Outside it sets what already holds where records can be written.
pub(super) const OUTSIDE: &str = "SET TRANSACTION READ WRITE";

impl MySqlLink {
    pub(super) fn new(
        options: &SqlOptions,
        pool: MySqlPoolOptions,
        address: impl Fn() -> MySqlConnectOptions + Send + Sync + 'static,
        table: Table,
    ) -> Self {
        let (patience, response_timeout) = (options.connection_timeout, options.response_timeout);
        let connections = Connections::new(pool, options.connections, patience, address);
        Self { connections, patience, table, response_timeout, server: OnceCell::new() }
    }

    /// A connection with our settings.
    pub(super) async fn acquire(&self, share: Share) -> Result<Lent<'_, MySql>, StatementError> {
        let acquired = self.connections.acquire_within(share, self.patience).await;
        let mut lent = acquired.map_err(|error| on_acquire(error, &self.table))?;
        if lent.is_new {
            self.within(&mut lent.connection).run(SETTINGS.to_owned()).await?;
        }
        Ok(lent)
    }

    /// A connection, for the statements of one batch.
    pub(super) async fn session(&self, share: Share) -> Result<MySqlSession<'_>, StatementError> {
        let lent = self.acquire(share).await?;
        Ok(MySqlSession::new(SessionKind::Autocommit { lent, share }, self))
    }

    /// The application's connection, for statements that are part of the transaction that it is in.
    pub(super) fn within<'a>(&'a self, connection: &'a mut MySqlConnection) -> MySqlSession<'a> {
        MySqlSession::new(SessionKind::Transaction(connection), self)
    }

    /// Runs a statement that reads.
    pub(super) async fn fetch(
        &self,
        sql: &Arc<str>,
        values: &[SqlValue<'_>],
    ) -> Result<Vec<MySqlRow>, StatementError> {
        let mut session = self.session(Share::Claims).await?;
        let rows = session.fetch(sql, values).await;
        session.give_back();
        rows
    }
}

/// A connection.
pub(super) struct MySqlSession<'a> {
    kind: SessionKind<'a>,
    is_broken: bool,
    link: &'a MySqlLink,
    /// Statements that go in one text with the next one in a transaction, before it and after it.
    before: &'static str,
    after: String,
}

/// Where statements run.
enum SessionKind<'a> {
    /// On a connection of the storage's own. Each statement commits by itself.
    Autocommit { lent: Lent<'a, MySql>, share: Share },
    /// In the application's transaction.
    Transaction(&'a mut MySqlConnection),
}

impl SessionKind<'_> {
    fn connection(&mut self) -> &mut MySqlConnection {
        match self {
            Self::Autocommit { lent, .. } => &mut lent.connection,
            Self::Transaction(connection) => connection,
        }
    }
}

impl<'a> MySqlSession<'a> {
    fn new(kind: SessionKind<'a>, link: &'a MySqlLink) -> Self {
        Self { kind, is_broken: false, link, before: "", after: String::new() }
    }

    /// Sends statements in one text with the next one in the transaction, before it. That one runs
    /// only if they succeed.
    pub(super) fn send_before(&mut self, statements: &'static str) {
        self.before = statements;
    }

    /// Sends statements after the next one, in one text. They run only if it succeeds.
    pub(super) fn send_after(&mut self, statements: String) {
        self.after = statements;
    }

    /// Takes another connection where this one broke.
    pub(super) async fn mend(&mut self) -> Result<(), StatementError> {
        if let (true, SessionKind::Autocommit { share, .. }) = (self.is_broken, &self.kind) {
            *self = self.link.session(*share).await?;
        }
        Ok(())
    }

    /// Lets others have the connection, if it is the storage's own and of any use.
    pub(super) fn give_back(self) {
        match self.kind {
            SessionKind::Autocommit { lent, .. } if !self.is_broken => lent.give_back(),
            _ => {}
        }
    }

    /// Runs a statement that reads, and gives its rows.
    pub(super) async fn fetch(
        &mut self,
        sql: &Arc<str>,
        values: &[SqlValue<'_>],
    ) -> Result<Vec<MySqlRow>, StatementError> {
        let limit = self.link.response_timeout;
        let answer = match &mut self.kind {
            SessionKind::Autocommit { lent, .. } => {
                timeout(limit, prepared(sql, values).fetch_all(&mut lent.connection)).await
            }
            SessionKind::Transaction(connection) => {
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
        values: &[SqlValue<'_>],
    ) -> Result<u64, StatementError> {
        let limit = self.link.response_timeout;
        let answer = match &mut self.kind {
            SessionKind::Autocommit { lent, .. } => {
                timeout(limit, prepared(write, values).execute(&mut lent.connection)).await
            }
            SessionKind::Transaction(connection) => {
                let sql = together(&mut self.before, written_out(write, values), &mut self.after);
                timeout(limit, plain(sql).execute(&mut **connection)).await
            }
        };
        Ok(self.checked(answer.ok())?.rows_affected())
    }

    /// Reads the server's product and settings, once.
    pub(super) async fn server(&mut self) -> Result<Server, StatementError> {
        let link = self.link;
        let ask = async || {
            let mut first = async |ask: &str| {
                let row = self.run(ask.to_owned()).await?.into_iter().next();
                row.ok_or_else(|| StatementError::unreadable(aborted()))
            };
            let row = first("SELECT VERSION(), @@innodb_rollback_on_timeout").await?;
            let version: String = get(&row, 0).map_err(StatementError::unreadable)?;
            let rolls_back: i64 = get(&row, 1).map_err(StatementError::unreadable)?;
            let is_mariadb = version.contains("MariaDB");
            Ok(Server { is_mariadb, rolls_back: rolls_back != 0 })
        };
        link.server.get_or_try_init(ask).await.copied()
    }

    /// Runs statements that cannot be prepared, and gives their rows.
    pub(super) async fn run(&mut self, sql: String) -> Result<Vec<MySqlRow>, StatementError> {
        let answer = plain(sql).fetch_all(self.kind.connection());
        let answer = timeout(self.link.response_timeout, answer).await;
        self.checked(answer.ok())
    }

    fn checked<T>(&mut self, answer: Option<Result<T, Error>>) -> Result<T, StatementError> {
        let (fault, broken) = match answer {
            Some(Ok(answer)) => return Ok(answer),
            Some(Err(error)) => explain(error, SendState::Sent, &self.link.table),
            None => (no_answer("mysql"), Broken::Yes),
        };
        if broken == Broken::Yes {
            self.is_broken = true;
            if let SessionKind::Autocommit { .. } = self.kind {
                self.link.connections.forget_idle();
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

fn prepared(sql: &Arc<str>, values: &[SqlValue<'_>]) -> Query<'static, MySql, MySqlArguments> {
    // The text has our own statements and checked names in it.
    bound(sqlx::query(AssertSqlSafe(Arc::clone(sql))), values)
}

fn plain(sql: String) -> RawSql {
    // As above; the values are hex digits and numbers.
    sqlx::raw_sql(AssertSqlSafe(sql))
}
