//! What is looked at before a database is trusted with records.

use std::fmt;

use sqlx::Row;

use super::error::explain;
use super::link::Link;
use crate::storage::{StorageError, StorageErrorKind};

/// A setting under which records, and with them the protection against running twice, can be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SqliteWarning {
    /// This version of SQLite can damage a database in WAL mode that several connections write.
    WalResetBug {
        /// Its version.
        version: String,
    },
    /// The database is not in WAL mode: readers and writers keep each other waiting.
    NotWal {
        /// Its `journal_mode`.
        mode: String,
    },
    /// Commits do not wait for the disk: a power failure forgets the last of them.
    NotSynchronous,
}

impl fmt::Display for SqliteWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WalResetBug { version } => write!(
                f,
                "sqlite {version} can damage a database in WAL mode that several connections write; use 3.51.3 or later"
            ),
            Self::NotWal { mode } => write!(
                f,
                "journal_mode is `{mode}`: readers and writers keep each other waiting; set it to `wal`"
            ),
            Self::NotSynchronous => f.write_str(
                "synchronous is not `full`: a power failure forgets the last records, and what they protect can run twice",
            ),
        }
    }
}

/// The version that no longer has the bug.
const REPAIRED: [u32; 3] = [3, 51, 3];
/// The version that knows the functions which the statements use.
const OLDEST: [u32; 3] = [3, 42, 0];
/// `PRAGMA synchronous` of `FULL`; `EXTRA` is more.
const FULL: i64 = 2;

/// Looks at the library, and at one connection of the pool. A database in memory has nothing to lose that its process does not lose.
pub(super) async fn check(link: &Link) -> Result<Vec<SqliteWarning>, StorageError> {
    let ask = async |sql: &'static str| {
        let row = sqlx::query(sql).fetch_one(&link.pool).await;
        row.map_err(|error| StorageError::from(explain(error, true, &link.table)))
    };
    let text = |row: sqlx::sqlite::SqliteRow| row.try_get::<String, _>(0).unwrap_or_default();
    let version = text(ask("SELECT sqlite_version()").await?);
    let mode = text(ask("PRAGMA journal_mode").await?);
    let synchronous = ask("PRAGMA synchronous").await?.try_get(0).unwrap_or(FULL);

    let number = parse(&version);
    if number < OLDEST {
        let message = format!("sqlite has version {version}, and 3.42 or later is needed");
        return Err(StorageError::new(StorageErrorKind::Configuration, message));
    }
    let mut warnings = Vec::new();
    if mode == "memory" {
        return Ok(warnings);
    }
    if mode == "wal" && number < REPAIRED {
        warnings.push(SqliteWarning::WalResetBug { version });
    }
    if mode != "wal" {
        warnings.push(SqliteWarning::NotWal { mode });
    }
    if synchronous < FULL {
        warnings.push(SqliteWarning::NotSynchronous);
    }
    Ok(warnings)
}

fn parse(version: &str) -> [u32; 3] {
    let mut numbers = version.split('.').map(|number| number.parse().unwrap_or(0));
    std::array::from_fn(|_| numbers.next().unwrap_or(0))
}
