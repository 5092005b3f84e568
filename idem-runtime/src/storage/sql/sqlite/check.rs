//! What is looked at before a database is trusted with records.

use std::fmt;

use sqlx::Row;

use super::super::connections::Share;
use super::error::on_statement;
use super::link::Link;
use crate::storage::{StorageError, StorageErrorKind, StorageWarning};

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

impl From<&SqliteWarning> for StorageWarning {
    fn from(warning: &SqliteWarning) -> Self {
        let setting = match warning {
            SqliteWarning::WalResetBug { .. } => "sqlite_version",
            SqliteWarning::NotWal { .. } => "journal_mode",
            SqliteWarning::NotSynchronous => "synchronous",
        };
        Self::new(setting, warning.to_string())
    }
}

/// The version that no longer has the bug.
const REPAIRED: [u32; 3] = [3, 51, 3];
/// The version that knows the functions which the statements use.
const OLDEST: [u32; 3] = [3, 42, 0];
/// `PRAGMA synchronous` of `FULL`; `EXTRA` is more.
const FULL: i64 = 2;

/// Looks at the library, and at one connection. A database in memory has nothing to lose that its
/// process does not lose.
pub(super) async fn check(link: &Link) -> Result<Vec<SqliteWarning>, StorageError> {
    let mut lent = link.acquire(Share::Claims).await?;
    let mut ask = async |sql: &'static str| {
        let row = sqlx::query(sql).fetch_one(&mut lent.connection).await;
        row.map_err(|error| StorageError::from(on_statement(error, &link.table)))
    };
    let text = |row: sqlx::sqlite::SqliteRow| row.try_get::<String, _>(0).unwrap_or_default();
    let version = text(ask("SELECT sqlite_version()").await?);
    let mode = text(ask("PRAGMA journal_mode").await?);
    let synchronous = ask("PRAGMA synchronous").await?.try_get(0).unwrap_or(FULL);
    lent.give_back();

    judge(version, mode, synchronous)
}

/// What is to be said of a library of this version, and a database in this mode.
fn judge(
    version: String,
    mode: String,
    synchronous: i64,
) -> Result<Vec<SqliteWarning>, StorageError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn told(version: &str, mode: &str) -> Vec<SqliteWarning> {
        judge(version.to_owned(), mode.to_owned(), FULL).unwrap()
    }

    #[test]
    fn versions_that_can_damage_a_database_are_told_where_they_can() {
        for damaging in ["3.42.0", "3.50.4", "3.51.0", "3.51.2"] {
            let version = damaging.to_owned();
            assert_eq!(told(damaging, "wal"), [SqliteWarning::WalResetBug { version }]);
            assert!(told(damaging, "memory").is_empty());
            let mode = "delete".to_owned();
            assert_eq!(told(damaging, "delete"), [SqliteWarning::NotWal { mode }]);
        }
        for sound in ["3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(told(sound, "wal").is_empty(), "{sound}");
        }
    }

    #[test]
    fn versions_that_lack_what_is_needed_are_refused() {
        for old in ["3.41.2", "3.8.11.1", "2.8.17"] {
            let error = judge(old.to_owned(), "wal".to_owned(), FULL).unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Configuration, "{old}");
            assert!(error.to_string().contains(old), "{error}");
        }
    }
}
