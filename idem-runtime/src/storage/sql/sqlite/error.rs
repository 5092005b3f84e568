//! Classifies the errors of SQLite.

use sqlx::Error;
use sqlx::error::DatabaseError;

use super::super::migrate;
use super::super::statement_error::{Rerun, SendState, StatementError};
use super::super::table::Table;
use crate::storage::StorageErrorKind;

/// Another connection holds the file.
const BUSY: u32 = 5;

/// Classifies an error of acquiring a connection.
pub(super) fn on_acquire(error: Error, table: &Table) -> StatementError {
    explain(error, SendState::Unsent, table)
}

/// Classifies the error of a statement that was sent.
pub(super) fn on_statement(error: Error, table: &Table) -> StatementError {
    explain(error, SendState::Sent, table)
}

/// Classifies an error.
pub(super) fn explain(error: Error, send_state: SendState, table: &Table) -> StatementError {
    use Rerun::{Individually, Never};
    use StorageErrorKind::{Configuration, NotApplied};

    if let Some(database) = error.as_database_error() {
        return refusal(code_of(database), error, table);
    }
    let (retry, kind, message) = match &error {
        Error::PoolTimedOut | Error::PoolClosed => {
            (Never, NotApplied, "no connection to sqlite in time: the storage's own are all in use")
        }
        Error::Configuration(_) | Error::InvalidArgument(_) => {
            (Never, Configuration, "the address of the sqlite database cannot be used")
        }
        Error::Encode(_) => (Individually, Configuration, "a value is too large for sqlite"),
        _ => {
            let message = match send_state {
                SendState::Sent => "the connection to sqlite closed before it answered",
                SendState::Unsent => "cannot open the sqlite database",
            };
            (Never, send_state.kind(), message)
        }
    };
    StatementError::new(retry, kind, message, error)
}

/// The error of a database in memory that is private to each connection.
pub(super) fn private() -> StatementError {
    let message = "each connection of this sqlite pool has a database in memory for itself, and the storage has connections of its own: \
                   open it by the URL `sqlite::memory:`, or use a file";
    StatementError::never(StorageErrorKind::Configuration, message)
}

/// The error of a statement that SQLite does not finish.
pub(super) fn stuck() -> StatementError {
    StatementError::never(StorageErrorKind::Indeterminate, "sqlite did not answer in time")
}

/// Whether another connection held the file for too long.
pub(super) fn is_busy(error: &Error) -> bool {
    error.as_database_error().is_some_and(|error| code_of(error) & 0xff == BUSY)
}

/// Whether a table does not exist, as far as the connection knows the schema.
pub(super) fn is_missing_table(error: &Error) -> bool {
    error.as_database_error().is_some_and(|error| error.message().contains("no such table"))
}

/// Whether another connection holds the file or a table, or wrote after the statement had read.
pub(super) fn is_taken(error: &dyn DatabaseError) -> bool {
    matches!(code_of(error) & 0xff, BUSY | 6)
}

/// The extended code of an error.
fn code_of(error: &dyn DatabaseError) -> u32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or_default()
}

/// Classifies SQLite's codes: the low byte is the kind of error, the other bytes say more.
fn refusal(code: u32, error: Error, table: &Table) -> StatementError {
    use Rerun::{Individually, Never, Together};
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};

    /// Another connection wrote after the statement had read.
    const BUSY_SNAPSHOT: u32 = 517;
    /// A column is required and unknown to this version.
    const NOT_NULL: u32 = 1299;

    // SQLite has no codes for these.
    let says = |text| error.as_database_error().is_some_and(|error| error.message().contains(text));
    let plain = |retry, kind, message: &'static str| (retry, kind, message.to_owned());
    let (retry, kind, message) = match (code, code & 0xff) {
        (BUSY_SNAPSHOT, _) => plain(
            Together,
            NotApplied,
            "sqlite kept refusing the statement, because others wrote after it had read",
        ),
        (_, BUSY | 6) => plain(
            Rerun::Locked,
            NotApplied,
            "the sqlite database is locked by an open transaction of somebody else's: try again when it has ended",
        ),
        (_, 1) if says("no such table") => {
            let file = "the statements of `idempotency::storage::sql::SQLITE_SCHEMA`";
            (Never, Configuration, migrate::missing(table, file))
        }
        (NOT_NULL, _) => (Never, Configuration, migrate::other_columns(table)),
        (_, 1) if says("no such column") || says("has no column") => {
            (Never, Configuration, migrate::other_columns(table))
        }
        (_, 1) => {
            let message = format!("sqlite does not understand the statement on the table {table}");
            (Never, Configuration, message)
        }
        (_, 8) => plain(
            Never,
            Configuration,
            "the sqlite database is read-only: this process may not write its file or folder, or the URL says so (`mode=ro`)",
        ),
        (_, 10) => plain(Never, Indeterminate, "sqlite could not read or write its file"),
        (_, 11 | 26) => {
            plain(Never, Configuration, "the file is damaged, or is no sqlite database")
        }
        (_, 13) => plain(Never, NotApplied, "the disk of the sqlite database is full"),
        (_, 14) => plain(
            Never,
            Configuration,
            "the file of the sqlite database cannot be opened: its folder has to be there, this process has to have the right to read and write \
             both, and a `mode` of the URL must not forbid to make the file",
        ),
        (_, 18..=20) => {
            plain(Individually, Configuration, "sqlite does not accept a value of the record")
        }
        (_, 3 | 4 | 7 | 9 | 12 | 15..=17 | 21..=25) => {
            (Never, NotApplied, format!("sqlite refused the statement (code {code})"))
        }
        _ => {
            let message = format!("the outcome of the statement is unknown (sqlite error {code})");
            (Never, Indeterminate, message)
        }
    };
    StatementError::new(retry, kind, message, error)
}
