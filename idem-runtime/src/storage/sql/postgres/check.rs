//! Checks the server's version and settings.

use sqlx::Row;

use super::super::connections::Share;
use super::error::on_statement;
use super::link::PgLink;
use crate::storage::{StorageError, StorageErrorKind, StorageWarning};

/// Settings that lose records if they are `off`, and how.
const SETTINGS: [(&str, &str); 2] = [
    (
        "synchronous_commit",
        "synchronous_commit is `off`: a crash of postgres loses the last records, and their operations can run twice; set it to `on`",
    ),
    (
        "fsync",
        "fsync is `off`: a crash of the machine can lose all records, and their operations can run twice; set it to `on`",
    ),
];

/// Checks a session of the storage's own.
pub(super) async fn check(link: &PgLink) -> Result<Vec<StorageWarning>, StorageError> {
    let mut lent = link.acquire(Share::Claims).await?;
    let asking = "SELECT current_setting('synchronous_commit') = 'off', current_setting('fsync') = 'off', \
                  current_setting('server_version'), current_setting('server_version_num')";
    let row = sqlx::raw_sql(asking).fetch_one(&mut lent.connection).await;
    let row = row.map_err(|error| on_statement(error, &link.table))?;
    lent.give_back();
    let text = |column: usize| row.try_get::<String, _>(column).unwrap_or_default();
    refuse_too_old(&text(2), &text(3))?;
    let is_off = |column: usize| row.try_get(column).unwrap_or(false);
    let off = SETTINGS.into_iter().enumerate().filter(|(column, _)| is_off(*column));
    Ok(off.map(|(_, (setting, message))| StorageWarning::new(setting, message)).collect())
}

/// The version that knows the functions which the statements use.
const OLDEST: u32 = 130_000;

/// Refuses a server that is known to be older than what is needed.
fn refuse_too_old(version: &str, number: &str) -> Result<(), StorageError> {
    if number.parse().is_ok_and(|number: u32| number < OLDEST) {
        let message = format!("postgres has version {version}, and 13 or later is needed");
        return Err(StorageError::new(StorageErrorKind::Configuration, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_lack_what_is_needed_are_refused() {
        for (version, number) in [("12.22", "120022"), ("9.6.24", "90624")] {
            let error = refuse_too_old(version, number).unwrap_err();
            assert_eq!(error.kind(), StorageErrorKind::Configuration);
            assert!(error.to_string().contains(version), "{error}");
        }
        for (version, number) in [("13.0", "130000"), ("15.17 (Debian)", "150017"), ("", "")] {
            refuse_too_old(version, number).unwrap();
        }
    }
}
