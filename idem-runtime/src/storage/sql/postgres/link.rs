//! Runs statements on the server.
//!
//! # Settings
//!
//! Statements rely on session settings: read committed, and short lock waits. A connection is
//! opened with them ([`settings`]), before the application's hooks, and no other session is
//! touched. A pooler in transaction mode refuses or ignores such settings, and a `SET` there leaks
//! to the next client. So each new connection is checked: where it has other settings, every
//! statement runs in a short transaction that sets its own.

use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgPoolOptions, PgRow};
use sqlx::query::Query;
use sqlx::{AssertSqlSafe, Postgres, Row};

use super::super::connections::{Connections, Lent, Share};
use super::super::database::SqlOptions;
use super::super::server::{Broken, no_answer};
use super::super::statement_error::{SendState, StatementError};
use super::super::table::Table;
use super::error::{explain, on_acquire, refuses_settings};

/// How long a statement waits for a lock: only an open transaction holds one for longer.
const LOCK_TIMEOUT: Duration = Duration::from_millis(500);

/// The storage's connections, and how statements use them.
#[derive(Debug)]
pub(super) struct PgLink {
    connections: Connections<Postgres>,
    pub(super) patience: Duration,
    pub(super) table: Table,
    pub(super) response_timeout: Duration,
    /// Whether statements may be prepared under a name, which lasts as long as the connection to
    /// the server.
    named_statements: bool,
    /// Sessions do not have our settings.
    has_other_settings: Arc<AtomicBool>,
}

pub(super) type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

/// Where the statements of a batch run.
pub(super) enum PgSession<'a> {
    /// Each by itself, on a connection of the storage's own, which commits it.
    Autocommit(&'a PgLink, Share),
    /// In the transaction that a connection of the application's is in.
    Transaction(&'a PgLink, &'a mut PgConnection),
}

impl PgSession<'_> {
    /// Runs a statement, and gives its rows.
    pub(super) async fn fetch<'q>(
        &mut self,
        sql: &Arc<str>,
        bind: impl FnOnce(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<Vec<PgRow>, StatementError> {
        match self {
            Self::Autocommit(link, share) => link.fetch(*share, sql, bind).await,
            Self::Transaction(link, connection) => link.fetch_within(connection, sql, bind).await,
        }
    }
}

impl PgLink {
    pub(super) fn new(
        options: &SqlOptions,
        pool: PgPoolOptions,
        address: impl Fn() -> PgConnectOptions + Send + Sync + 'static,
        table: Table,
    ) -> Self {
        let (named_statements, patience) =
            (options.prepared_statements, options.connection_timeout);
        let response_timeout = options.response_timeout;
        let has_other_settings = Arc::new(AtomicBool::new(!named_statements));
        let refused = Arc::clone(&has_other_settings);
        let address = move || {
            if refused.load(Ordering::Relaxed) {
                return address();
            }
            address().options(settings(response_timeout))
        };
        let connections = Connections::new(pool, options.connections, patience, address);
        Self {
            connections,
            patience,
            table,
            response_timeout,
            named_statements,
            has_other_settings,
        }
    }

    /// A connection with our settings, or without.
    pub(super) async fn acquire(&self, share: Share) -> Result<Lent<'_, Postgres>, StatementError> {
        let mut acquired = self.connections.acquire_within(share, self.patience).await;
        if acquired.as_ref().is_err_and(refuses_settings)
            && !self.has_other_settings.swap(true, Ordering::Relaxed)
        {
            acquired = self.connections.acquire_within(share, self.patience).await;
        }
        let mut lent = acquired.map_err(|error| on_acquire(error, &self.table))?;
        if lent.is_new {
            let asking = sqlx::raw_sql(AssertSqlSafe(how_it_is()));
            let row = self.answer(asking.fetch_one(&mut lent.connection)).await.0?;
            let has_settings = row.try_get(0).unwrap_or(false);
            self.has_other_settings.fetch_or(!has_settings, Ordering::Relaxed);
            // By a hook.
            if row.try_get(1).unwrap_or(true) {
                let closing = sqlx::raw_sql("ROLLBACK").execute(&mut lent.connection);
                self.answer(closing).await.0?;
            }
        }
        Ok(lent)
    }

    /// Runs a statement by itself, which commits it, and gives its rows.
    pub(super) async fn fetch<'q>(
        &self,
        share: Share,
        sql: &Arc<str>,
        bind: impl FnOnce(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<Vec<PgRow>, StatementError> {
        let query = self.query(sql, bind);
        let mut lent = self.acquire(share).await?;
        let connection = &mut lent.connection;
        let (answer, broken) = if self.has_other_settings.load(Ordering::Relaxed) {
            self.answer(pinned(query, connection, self.response_timeout)).await
        } else {
            self.answer(query.fetch_all(connection)).await
        };
        match broken {
            Broken::No => lent.give_back(),
            Broken::Yes => self.connections.forget_idle(),
        }
        answer
    }

    /// Runs a statement in the transaction that `connection` is in.
    async fn fetch_within<'q>(
        &self,
        connection: &mut PgConnection,
        sql: &Arc<str>,
        bind: impl FnOnce(PgQuery<'q>) -> PgQuery<'q>,
    ) -> Result<Vec<PgRow>, StatementError> {
        self.answer(self.query(sql, bind).fetch_all(connection)).await.0
    }

    fn query<'q>(
        &self,
        sql: &Arc<str>,
        bind: impl FnOnce(PgQuery<'q>) -> PgQuery<'q>,
    ) -> PgQuery<'q> {
        // The text has our own statements and checked names in it.
        bind(sqlx::query(AssertSqlSafe(Arc::clone(sql)))).persistent(self.named_statements)
    }

    /// Like [`fetch_within`](Self::fetch_within), without arguments and without preparing the
    /// statement.
    pub(super) async fn raw_within(
        &self,
        connection: &mut PgConnection,
        sql: &'static str,
    ) -> Result<Vec<PgRow>, StatementError> {
        self.answer(sqlx::raw_sql(sql).fetch_all(connection)).await.0
    }

    /// The outcome of a statement, and whether its connection broke.
    async fn answer<T>(
        &self,
        running: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> (Result<T, StatementError>, Broken) {
        match tokio::time::timeout(self.response_timeout, running).await {
            Ok(Ok(answer)) => (Ok(answer), Broken::No),
            Ok(Err(error)) => {
                let (fault, broken) = explain(error, SendState::Sent, &self.table);
                (Err(fault), broken)
            }
            Err(_) => (Err(no_answer("postgres")), Broken::Yes),
        }
    }
}

/// The settings of a new session. The server cancels a statement a second after its caller gave up.
fn settings(response_timeout: Duration) -> [(&'static str, String); 4] {
    let given_up = (response_timeout + Duration::from_secs(1)).as_millis().to_string();
    [
        ("default_transaction_isolation", "read committed".to_owned()),
        ("lock_timeout", LOCK_TIMEOUT.as_millis().to_string()),
        ("statement_timeout", given_up.clone()),
        ("idle_in_transaction_session_timeout", given_up),
    ]
}

/// Whether a session has the [`settings`], and whether it is inside a transaction. The latter works
/// only unprepared.
fn how_it_is() -> String {
    format!(
        "SELECT current_setting('default_transaction_isolation') = 'read committed' \
         AND current_setting('lock_timeout') = '{}ms', statement_timestamp() > transaction_timestamp()",
        LOCK_TIMEOUT.as_millis()
    )
}

/// Runs a statement in a transaction of its own, with its settings: a pooler in transaction mode
/// could otherwise prepare it on one connection and run it on another.
async fn pinned(
    query: PgQuery<'_>,
    connection: &mut PgConnection,
    response_timeout: Duration,
) -> Result<Vec<PgRow>, sqlx::Error> {
    let mut begin = "BEGIN ISOLATION LEVEL READ COMMITTED".to_owned();
    for (setting, value) in settings(response_timeout).into_iter().skip(1) {
        // Writing to a string does not fail.
        let _ = write!(begin, "; SET LOCAL {setting} = {value}");
    }
    sqlx::raw_sql(AssertSqlSafe(begin)).execute(&mut *connection).await?;
    let rows = query.fetch_all(&mut *connection).await;
    let end = if rows.is_ok() { "COMMIT" } else { "ROLLBACK" };
    let ended = sqlx::raw_sql(end).execute(&mut *connection).await;
    // The statement's error says more than that of the `ROLLBACK`.
    let rows = rows?;
    ended?;
    Ok(rows)
}
