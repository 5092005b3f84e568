//! Classifies the errors of the client and the server.

use sqlx::Error;
use sqlx::mysql::MySqlDatabaseError;

use super::super::migrate;
use super::super::server::{Broken, classify_client_error};
use super::super::statement_error::{Rerun, SendState, StatementError};
use super::super::table::Table;
use super::login;
use crate::storage::StorageErrorKind;

/// The answer to a `SET TRANSACTION` inside of a transaction.
pub(super) const INSIDE: u16 = 1568;

/// Classifies an error of acquiring a connection.
pub(super) fn on_acquire(error: Error, table: &Table) -> StatementError {
    explain(error, SendState::Unsent, table).0
}

/// Classifies the error of a statement that was sent.
pub(super) fn on_statement(error: Error, table: &Table) -> StatementError {
    explain(error, SendState::Sent, table).0
}

/// Classifies an error, and says whether the connection is broken.
pub(super) fn explain(
    error: Error,
    send_state: SendState,
    table: &Table,
) -> (StatementError, Broken) {
    let refused = error.as_database_error().and_then(|error| error.try_downcast_ref());
    if let Some(number) = refused.map(MySqlDatabaseError::number) {
        return refusal(number, error, send_state, table);
    }
    // The client has no error of its own for it.
    if let Error::Configuration(reason) = &error
        && reason.to_string().contains("RSA")
    {
        let message = "no login to mysql: passwords of the kind `caching_sha2_password` need an \
                       encrypted connection, or the feature `mysql-rsa` of sqlx";
        let fault =
            StatementError::new(Rerun::Never, StorageErrorKind::Configuration, message, error);
        return (fault, Broken::Yes);
    }
    classify_client_error(error, send_state, "mysql", "`ssl_cert`, `ssl_key`")
}

/// Classifies the server's error numbers. Most of those listed certainly changed nothing; after any
/// other the outcome is unknown.
fn refusal(
    number: u16,
    error: Error,
    send_state: SendState,
    table: &Table,
) -> (StatementError, Broken) {
    use Rerun::{Individually, Never, Together};
    use StorageErrorKind::{Configuration, NotApplied};

    let plain = |retry, kind, message: &str| (retry, kind, message.to_owned(), Broken::No);
    let never = |kind, message: &str| (Never, kind, message.to_owned(), Broken::No);
    let broken = |kind, message: &str| (Never, kind, message.to_owned(), Broken::Yes);
    if let Some(message) = login::refusal(number) {
        return (StatementError::new(Never, Configuration, message, error), Broken::No);
    }
    let (retry, kind, message, broken) = match number {
        // A deadlock, a row that changed under a snapshot, a key that another process has inserted,
        // a transaction that another member of the group has precluded.
        1213 | 1020 | 1062 | 3101 => {
            plain(Together, NotApplied, "mysql kept aborting the statement (deadlock)")
        }
        1205 => plain(
            Rerun::Locked,
            NotApplied,
            "another open transaction holds the lock of the row or the table: retry when it has ended",
        ),
        // The tables were changed under a prepared statement.
        1615 => {
            let message = "mysql cannot run the statement on the current tables".to_owned();
            (Together, Configuration, message, Broken::Yes)
        }
        1146 => {
            let file = "the statements of `idempotency::storage::sql::MYSQL_SCHEMA`";
            never(Configuration, &migrate::missing(table, file))
        }
        // A column is missing, or is required and unknown to this version.
        1054 | 1048 | 1364 => never(Configuration, &migrate::other_columns(table)),
        1142 | 1143 | 1370 => never(
            Configuration,
            &format!("this mysql user may not read and write the table {table}"),
        ),
        1064 | 1305 => never(
            Configuration,
            "mysql does not understand the statement: MySQL 8.0 or MariaDB 10.6, or later, is needed",
        ),
        1243 => never(Configuration, "a pooler in front of mysql loses prepared statements"),
        1461 => never(
            Configuration,
            "mysql has no room for prepared statements: raise `max_prepared_stmt_count`",
        ),
        1290 | 1792 | 1836 => broken(
            NotApplied,
            "mysql is a read-only replica, or has become one, or this session's transactions are read-only (`transaction_read_only`)",
        ),
        1021 | 1114 => never(NotApplied, "the disk or the table space of the mysql server is full"),
        1040 | 1203 | 1226 => never(NotApplied, "mysql has no connection left"),
        // Of a statement that reads.
        3024 => never(NotApplied, "mysql cancelled the statement"),
        // The statement may have been committed before the shutdown, or a proxy lost it and says so
        // with a client's error number.
        1053 | 1077 | 1152 | 1158..=1161 | 1927 | 2000..=2999 | 3169 | 4031 => {
            broken(send_state.kind(), "the mysql server is shutting down")
        }
        1153 | 1301 => (
            Individually,
            Configuration,
            "a result is larger than the server's `max_allowed_packet`".to_owned(),
            Broken::Yes,
        ),
        1264 | 1366 | 1406 | 1690 => {
            plain(Individually, Configuration, "mysql does not accept a value of the record")
        }
        // Among them: the commit failed (1180), the binary log cannot be written (1026, 1598), the
        // statement was killed (1317, 1969). They may come when the engine, or the log that the
        // server recovers from, has the commit already.
        number => {
            let message = format!("the outcome of the statement is unknown (mysql error {number})");
            (Never, send_state.kind(), message, Broken::No)
        }
    };
    (StatementError::new(retry, kind, message, error), broken)
}

/// The server's error number, if the error comes from the server.
pub(super) fn number(fault: &StatementError) -> Option<u16> {
    Some(
        fault
            .error
            .client()?
            .as_database_error()?
            .try_downcast_ref::<MySqlDatabaseError>()?
            .number(),
    )
}

/// Whether a lock was not acquired in time.
pub(super) fn is_locked(fault: &StatementError) -> bool {
    matches!(number(fault), Some(1205 | 3572))
}

#[cfg(test)]
mod tests {
    use super::super::super::table::Quote;
    use super::*;

    #[test]
    fn what_may_have_been_committed_is_not_said_to_be_refused() {
        let kind = |number, send_state| {
            let (fault, _) = refusal(
                number,
                Error::WorkerCrashed,
                send_state,
                &Table::standard(Quote::Backtick),
            );
            fault.error.kind()
        };
        for lost in [1026, 1047, 1053, 1180, 1317, 1598, 1927, 1969, 2006, 2013, 3100, 9001] {
            assert_eq!(kind(lost, SendState::Sent), StorageErrorKind::Indeterminate, "{lost}");
            assert_eq!(kind(lost, SendState::Unsent), StorageErrorKind::NotApplied, "{lost}");
        }
        for refused in [1021, 1062, 1205, 1213, 3101] {
            assert_eq!(kind(refused, SendState::Sent), StorageErrorKind::NotApplied, "{refused}");
        }
    }
}
