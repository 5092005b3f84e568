//! Checks the library's version, and the settings of a database.

use sqlx::Row;

use super::super::connections::Share;
use super::error::on_statement;
use super::link::SqliteLink;
use crate::storage::{StorageError, StorageErrorKind, StorageWarning};

/// The version that no longer has the bug.
const REPAIRED: [u32; 3] = [3, 51, 3];
/// The version that knows the functions which the statements use.
const OLDEST: [u32; 3] = [3, 42, 0];
/// `PRAGMA synchronous` of `FULL`; `EXTRA` is more.
const FULL: i64 = 2;

/// Checks the library, and one connection. A database in memory has nothing to lose that its
/// process does not lose.
pub(super) async fn check(link: &SqliteLink) -> Result<Vec<StorageWarning>, StorageError> {
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

    judge(&version, &mode, synchronous)
}

/// The warnings about a library of this version, and a database in this mode.
fn judge(version: &str, mode: &str, synchronous: i64) -> Result<Vec<StorageWarning>, StorageError> {
    let number = parse(version);
    if number < OLDEST {
        let message = format!("sqlite has version {version}, and 3.42 or later is needed");
        return Err(StorageError::new(StorageErrorKind::Configuration, message));
    }
    let mut warnings = Vec::new();
    if mode == "memory" {
        return Ok(warnings);
    }
    let mut warn = |setting, message| warnings.push(StorageWarning::new(setting, message));
    if mode == "wal" && number < REPAIRED {
        let message = format!(
            "sqlite {version} can damage a database in WAL mode that several connections write; use 3.51.3 or later"
        );
        warn("sqlite_version", message);
    }
    if mode != "wal" {
        let message = format!(
            "journal_mode is `{mode}`: readers and writers keep each other waiting; set it to `wal`"
        );
        warn("journal_mode", message);
    }
    if synchronous < FULL {
        let message = "synchronous is not `full`: a power failure forgets the last records, and what they protect can run twice";
        warn("synchronous", message.to_owned());
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

    fn settings(version: &str, mode: &str, synchronous: i64) -> Vec<String> {
        let warnings = judge(version, mode, synchronous).unwrap();
        warnings.iter().map(|warning| warning.setting().to_owned()).collect()
    }

    #[test]
    fn versions_that_can_damage_a_database_are_reported_where_they_can() {
        for damaging in ["3.42.0", "3.50.4", "3.51.0", "3.51.2"] {
            assert_eq!(settings(damaging, "wal", FULL), ["sqlite_version"], "{damaging}");
            assert!(judge(damaging, "wal", FULL).unwrap()[0].to_string().contains(damaging));
            assert!(settings(damaging, "memory", FULL).is_empty(), "{damaging}");
            assert_eq!(settings(damaging, "delete", FULL), ["journal_mode"], "{damaging}");
        }
        for sound in ["3.51.3", "3.51.10", "3.52.0", "4.0.0"] {
            assert!(settings(sound, "wal", FULL).is_empty(), "{sound}");
        }
    }

    #[test]
    fn versions_that_lack_what_is_needed_are_refused() {
        for old in ["3.41.2", "3.8.11.1", "2.8.17"] {
            let error = judge(old, "wal", FULL).unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Configuration, "{old}");
            assert!(error.to_string().contains(old), "{error}");
        }
    }
}
