//! Checks the server's version and settings.

use super::super::connections::Share;
use super::super::row::get;
use super::link::MySqlLink;
use crate::storage::{StorageError, StorageErrorKind, StorageWarning};

/// Settings that lose records, or what replicas have of them, unless they are 1; and how.
const SETTINGS: [(&str, &str); 2] = [
    (
        "innodb_flush_log_at_trx_commit",
        "innodb_flush_log_at_trx_commit is not 1: a crash of mysql loses the last records, and their operations can run twice; set it to 1",
    ),
    (
        "sync_binlog",
        "sync_binlog is not 1: after a crash of mysql replicas can have other records than it; set it to 1",
    ),
];

/// Checks the server.
pub(super) async fn check(link: &MySqlLink) -> Result<Vec<StorageWarning>, StorageError> {
    let mut session = link.session(Share::Claims).await?;
    let asking = "SELECT @@innodb_flush_log_at_trx_commit <> 1, @@log_bin <> 0 AND @@sync_binlog <> 1, VERSION()";
    let rows = session.run(asking.to_owned()).await;
    session.give_back();
    let rows = rows?;
    let Some(row) = rows.first() else { return Ok(Vec::new()) };
    refuse_too_old(&get::<String, _>(row, 2)?)?;
    let mut warnings = Vec::new();
    for (column, (setting, message)) in SETTINGS.into_iter().enumerate() {
        if get::<i64, _>(row, column)? != 0 {
            warnings.push(StorageWarning::new(setting, message));
        }
    }
    Ok(warnings)
}

/// The versions that know the statements.
const OLDEST_MYSQL: (u32, u32) = (8, 0);
const OLDEST_MARIADB: (u32, u32) = (10, 6);

/// Refuses a server that is known to be older than what is needed.
fn refuse_too_old(version: &str) -> Result<(), StorageError> {
    // As replication protocols want it, some of MariaDB begin with a number of MySQL's.
    let number = version.strip_prefix("5.5.5-").unwrap_or(version);
    let mut numbers = number.split('.').map(str::parse::<u32>);
    let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
        return Ok(());
    };
    let (called, (needed, least)) = if version.contains("MariaDB") {
        ("mariadb", OLDEST_MARIADB)
    } else {
        ("mysql", OLDEST_MYSQL)
    };
    if (major, minor) < (needed, least) {
        let message =
            format!("{called} has version {number}, and {needed}.{least} or later is needed");
        return Err(StorageError::new(StorageErrorKind::Configuration, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lack_what_is_needed_are_refused() {
        for old in ["5.7.44-log", "5.5.5-10.5.28-MariaDB-log", "10.4.34-MariaDB", "5.6.51"] {
            let error = refuse_too_old(old).unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Configuration, "{old}");
            assert!(error.to_string().contains("or later is needed"), "{error}");
        }
        for new in [
            "8.0.36",
            "8.4.0",
            "9.7.4",
            "10.6.1-MariaDB",
            "5.5.5-10.11.6-MariaDB",
            "11.4.2-MariaDB",
            "custom",
        ] {
            refuse_too_old(new).unwrap();
        }
    }
}
