//! What an error of SQLite means for a caller.

use sqlx::Error;
use sqlx::error::DatabaseError;

use super::super::fault::{Fault, Then};
use super::super::migrate;
use super::super::table::Table;
use crate::storage::{StorageError, StorageErrorKind};

/// Somebody else holds the file.
const BUSY: u32 = 5;

/// The fault for an error; `sent` says whether the statement was on its way.
pub(super) fn explain(error: Error, sent: bool, table: &Table) -> Fault {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};
    use Then::{Split, Tell};

    if let Some(database) = error.as_database_error() {
        let code = code_of(database);
        let missing = Missing::told_by(database.message());
        return refusal(code, missing, error, table);
    }
    let (then, kind, message) = match &error {
        Error::PoolTimedOut | Error::PoolClosed => {
            (Tell, NotApplied, "no connection to sqlite in time: the storage's own are all in use")
        }
        Error::Configuration(_) | Error::InvalidArgument(_) => {
            (Tell, Configuration, "the address of the sqlite database cannot be used")
        }
        Error::Encode(_) => (Split, Configuration, "a value is too large for sqlite"),
        _ if sent => (Tell, Indeterminate, "sqlite went away before it answered"),
        _ => (Tell, NotApplied, "cannot open the sqlite database"),
    };
    Fault::new(then, kind, message, error)
}

/// The fault of a database in memory that each connection has for itself.
pub(super) fn private() -> Fault {
    let message = "each connection of this sqlite pool has a database in memory for itself, and the storage has connections of its own: \
                   open it by the URL `sqlite::memory:`, or use a file";
    Fault { then: Then::Tell, error: StorageError::new(StorageErrorKind::Configuration, message) }
}

/// The fault of a statement that SQLite does not come back from.
pub(super) fn stuck() -> Fault {
    let message = "sqlite did not answer in time";
    Fault { then: Then::Tell, error: StorageError::new(StorageErrorKind::Indeterminate, message) }
}

/// Whether somebody else held the file for too long.
pub(super) fn is_busy(error: &Error) -> bool {
    error.as_database_error().is_some_and(|error| code_of(error) & 0xff == BUSY)
}

/// Whether somebody else holds the file or a table of it, or wrote after the statement had read.
pub(super) fn is_taken(error: &dyn DatabaseError) -> bool {
    matches!(code_of(error) & 0xff, BUSY | 6)
}

/// The extended code of an error.
fn code_of(error: &dyn DatabaseError) -> u32 {
    error.code().and_then(|code| code.parse().ok()).unwrap_or_default()
}

/// What a statement did not find. SQLite has no code for it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Missing {
    Table,
    Column,
    Nothing,
}

impl Missing {
    fn told_by(message: &str) -> Self {
        if message.contains("no such table") {
            Self::Table
        } else if message.contains("no such column") || message.contains("has no column") {
            Self::Column
        } else {
            Self::Nothing
        }
    }
}

/// What SQLite's codes mean: the low byte is the kind of error, and the rest says more.
fn refusal(code: u32, missing: Missing, error: Error, table: &Table) -> Fault {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};
    use Then::{Again, Split, Tell};

    /// Somebody else wrote after the statement had read.
    const BUSY_SNAPSHOT: u32 = 517;
    /// A column that nobody here fills.
    const NOT_NULL: u32 = 1299;

    let plain = |then, kind, message: &'static str| (then, kind, message.to_owned());
    let (then, kind, message) = match (code, code & 0xff) {
        (BUSY_SNAPSHOT, _) => plain(
            Again,
            NotApplied,
            "sqlite kept refusing the statement, because others wrote after it had read",
        ),
        (_, BUSY | 6) => plain(
            Then::Locked,
            NotApplied,
            "the sqlite database is locked by an open transaction of somebody else's: try again when it has ended",
        ),
        (_, 1) if missing == Missing::Table => {
            let file = "the statements of `idempotency::storage::sql::SQLITE_SCHEMA`";
            (Tell, Configuration, migrate::missing(table, file))
        }
        (NOT_NULL, _) => (Tell, Configuration, migrate::other_columns(table)),
        (_, 1) if missing == Missing::Column => {
            (Tell, Configuration, migrate::other_columns(table))
        }
        (_, 1) => {
            let message = format!("sqlite does not understand the statement on the table {table}");
            (Tell, Configuration, message)
        }
        (_, 8) => plain(
            Tell,
            Configuration,
            "the sqlite database is read-only: this process may not write its file or folder, or the URL says so (`mode=ro`)",
        ),
        (_, 10) => plain(Tell, Indeterminate, "sqlite could not read or write its file"),
        (_, 11 | 26) => plain(Tell, Configuration, "the file is damaged, or is no sqlite database"),
        (_, 13) => plain(Tell, NotApplied, "the disk of the sqlite database is full"),
        (_, 14) => plain(
            Tell,
            Configuration,
            "the file of the sqlite database cannot be opened: its folder has to be there, this process has to have the right to read and write \
             both, and a `mode` of the URL must not forbid to make the file",
        ),
        (_, 18..=20) => plain(Split, Configuration, "sqlite does not accept a value of the record"),
        (_, 3 | 4 | 7 | 9 | 12 | 15..=17 | 21..=25) => {
            (Tell, NotApplied, format!("sqlite refused the statement (code {code})"))
        }
        _ => {
            let message = format!("sqlite did not say what became of the statement (code {code})");
            (Tell, Indeterminate, message)
        }
    };
    Fault::new(then, kind, message, error)
}
