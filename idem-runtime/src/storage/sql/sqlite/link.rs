//! Runs statements on the file.
//!
//! # One writer at a time
//!
//! A file has one write lock, and an application's transaction may hold it for a long time. Until
//! it ends, no lease is renewed and no key is claimed. Then all waiting statements compete, and a
//! claim that wins would take over from a live owner that could not renew its lease. SQLite keeps
//! no queue of waiters, so the storage waits itself:
//!
//! - Owners' writes are tried every few milliseconds.
//! - A claim is tried as often, and reads its rows again before each attempt.
//! - Before a claim takes over, it finds the write lock free, and leaves owners [`FIRST`] to renew
//!   their leases: see [`let_owners_go_first`](SqliteLink::let_owners_go_first).

use std::sync::Arc;
use std::time::Duration;

use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqlitePoolOptions, SqliteRow,
};
use sqlx::{AssertSqlSafe, Error, Sqlite};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};

use super::super::connections::{Connections, Lent, Share};
use super::super::database::SqlOptions;
use super::super::statement_error::{Rerun, StatementError};
use super::super::table::Table;
use super::error::{is_busy, is_missing_table, on_acquire, on_statement, private, stuck};

/// How long an owner's write waits while another connection holds the file.
const OWNERS_PATIENCE: Duration = Duration::from_secs(5);

/// How long owners have to renew their leases, once the file can be written, before a claim takes
/// over.
const FIRST: Duration = Duration::from_millis(100);

/// SQLite is in this process. A longer statement waits for a lock of a database in memory, or for
/// the disk.
pub(super) const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The storage's connections, and how statements use them.
#[derive(Debug)]
pub(super) struct SqliteLink {
    connections: Connections<Sqlite>,
    /// How long a claim waits for a connection, and while another connection holds the file.
    patience: Duration,
    pub(super) table: Table,
    /// Each connection has a private database in memory, so ours would not be the application's.
    is_private: bool,
    /// One statement of this process writes at a time: a second one would only poll for the first.
    writing: Mutex<()>,
}

/// Whether a statement needs the file's write lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileAccess {
    Read,
    Write,
}

pub(super) type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

/// Where the statements of a batch run.
pub(super) enum SqliteSession<'a> {
    /// Each by itself, on a connection of the storage's own, which commits it.
    Autocommit(&'a SqliteLink, Share),
    /// In the transaction that a connection of the application's is in.
    Transaction(&'a SqliteLink, &'a mut SqliteConnection),
}

impl SqliteSession<'_> {
    /// Runs a statement that reads.
    pub(super) async fn read(
        &mut self,
        sql: Arc<str>,
        bind: impl Fn(SqliteQuery<'static>) -> SqliteQuery<'static>,
    ) -> Result<Vec<SqliteRow>, StatementError> {
        match self {
            Self::Autocommit(link, share) => link.fetch(*share, FileAccess::Read, sql, bind).await,
            Self::Transaction(link, connection) => {
                let rows = prepared(sql, bind).fetch_all(&mut **connection).await;
                rows.map_err(|error| on_statement(error, &link.table))
            }
        }
    }

    /// Runs a statement that writes. A claim's, by itself, does not wait for the write lock.
    pub(super) async fn write(
        &mut self,
        sql: Arc<str>,
        bind: impl Fn(SqliteQuery<'static>) -> SqliteQuery<'static>,
    ) -> Result<Vec<SqliteRow>, StatementError> {
        match self {
            Self::Autocommit(link, Share::Claims) => {
                link.try_to_fetch(Share::Claims, FileAccess::Write, &sql, bind).await
            }
            Self::Autocommit(link, share) => link.fetch(*share, FileAccess::Write, sql, bind).await,
            Self::Transaction(..) => self.read(sql, bind).await,
        }
    }
}

fn prepared<'q>(
    sql: Arc<str>,
    bind: impl FnOnce(SqliteQuery<'q>) -> SqliteQuery<'q>,
) -> SqliteQuery<'q> {
    // The text has our own statements and checked names in it.
    bind(sqlx::query(AssertSqlSafe(sql)))
}

impl SqliteLink {
    pub(super) fn new(
        options: &SqlOptions,
        pool: SqlitePoolOptions,
        address: impl Fn() -> SqliteConnectOptions + Send + Sync + 'static,
        table: Table,
    ) -> Self {
        let is_private = {
            let address = address();
            let file = address.get_filename().as_os_str();
            file == ":memory:" || file.is_empty()
        };
        let patience = options.connection_timeout;
        let connections = Connections::new(pool, options.connections, patience, address);
        Self { connections, patience, table, is_private, writing: Mutex::default() }
    }

    /// How long a statement waits while another connection holds the file.
    pub(super) fn patience(&self, share: Share) -> Duration {
        match share {
            Share::Claims => self.patience,
            Share::Outcomes | Share::Renewals => self.patience.max(OWNERS_PATIENCE),
        }
    }

    /// A connection.
    pub(super) async fn acquire(&self, share: Share) -> Result<Lent<'_, Sqlite>, StatementError> {
        if self.is_private {
            return Err(private());
        }
        let deadline = Instant::now() + self.patience;
        let mut lent = loop {
            // SQLite does not apply its busy timeout to the change of a new file to WAL mode: of
            // several processes that open it at once, all but one are told that it is locked, and
            // have to try again.
            match self.connections.acquire_within(share, self.patience).await {
                Ok(lent) => break lent,
                Err(error) if is_busy(&error) && Instant::now() < deadline => pause(share).await,
                Err(error) => return Err(on_acquire(error, &self.table)),
            }
        };
        if lent.is_new {
            // A transaction that a hook left open. Where there is none that is an error.
            let _ = sqlx::raw_sql("ROLLBACK").execute(&mut lent.connection).await;
            let told = sqlx::query("PRAGMA busy_timeout = 0").execute(&mut lent.connection).await;
            told.map_err(|error| on_acquire(error, &self.table))?;
        }
        Ok(lent)
    }

    /// Runs a statement by itself, which commits it; again while another connection holds the file.
    pub(super) async fn fetch(
        &self,
        share: Share,
        access: FileAccess,
        sql: Arc<str>,
        bind: impl Fn(SqliteQuery<'static>) -> SqliteQuery<'static>,
    ) -> Result<Vec<SqliteRow>, StatementError> {
        let deadline = Instant::now() + self.patience(share);
        loop {
            match self.try_to_fetch(share, access, &sql, &bind).await {
                Err(fault) if fault.retry == Rerun::Locked && Instant::now() < deadline => {
                    pause(share).await;
                }
                rows => return rows,
            }
        }
    }

    async fn try_to_fetch(
        &self,
        share: Share,
        access: FileAccess,
        sql: &Arc<str>,
        bind: impl FnOnce(SqliteQuery<'static>) -> SqliteQuery<'static>,
    ) -> Result<Vec<SqliteRow>, StatementError> {
        let _writing = match access {
            FileAccess::Write => Some(self.writing.lock().await),
            FileAccess::Read => None,
        };
        let mut lent = self.acquire(share).await?;
        let running = prepared(Arc::clone(sql), bind).fetch_all(&mut lent.connection);
        let rows = timeout(RESPONSE_TIMEOUT, running).await.map_err(|_| stuck())?;
        // A connection that misses a table reads the schema again, unless the file is locked: then
        // it would go on to miss tables that were made meanwhile. A new connection says `busy`.
        if !rows.as_ref().is_err_and(is_missing_table) {
            lent.give_back();
        }
        rows.map_err(|error| on_statement(error, &self.table))
    }

    /// Fails where this process cannot write the file. It waits for no other writer.
    pub(super) async fn require_writable(&self) -> Result<(), StatementError> {
        // `BEGIN IMMEDIATE` reads where the file is read-only, and does not fail.
        let delete = format!("DELETE FROM {} WHERE false", self.table.records());
        match self.run_raw(delete).await? {
            Err(error) if !is_busy(&error) => Err(on_statement(error, &self.table)),
            _ => Ok(()),
        }
    }

    /// Fails while others have the write lock, and leaves owners time to renew their leases where
    /// nobody has it.
    pub(super) async fn let_owners_go_first(&self) -> Result<(), StatementError> {
        {
            let _writing = self.writing.lock().await;
            let locked = self.run_raw("BEGIN IMMEDIATE; ROLLBACK".to_owned()).await?;
            locked.map_err(|error| on_statement(error, &self.table))?;
        }
        sleep(FIRST).await;
        Ok(())
    }

    /// Runs statements without arguments, unprepared.
    async fn run_raw(&self, sql: String) -> Result<Result<(), Error>, StatementError> {
        let mut lent = self.acquire(Share::Claims).await?;
        // The text has our own statements and checked names in it.
        let running = sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut lent.connection);
        let ran = timeout(RESPONSE_TIMEOUT, running).await.map_err(|_| stuck())?;
        lent.give_back();
        Ok(ran.map(drop))
    }
}

/// Until the next attempt.
pub(super) async fn pause(share: Share) {
    let most = match share {
        Share::Claims => 8,
        Share::Outcomes | Share::Renewals => 5,
    };
    sleep(Duration::from_millis(fastrand::u64(1..=most))).await;
}
