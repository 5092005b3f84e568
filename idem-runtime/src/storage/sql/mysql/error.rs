//! What an error of the client or the server means for a caller.

use sqlx::Error;
use sqlx::mysql::MySqlDatabaseError;

use super::super::fault::{Fault, Then};
use super::super::migrate;
use super::super::table::Table;
use super::login;
use crate::storage::{StorageError, StorageErrorKind, reach};

/// The answer to a `SET TRANSACTION` inside of a transaction.
pub(super) const INSIDE: u16 = 1568;

/// Whether the connection is of use afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Yes,
    No,
}

/// The fault for an error; `sent` says whether the statement was on its way.
pub(super) fn explain(error: Error, sent: bool, table: &Table) -> (Fault, Broken) {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};

    let refused = error.as_database_error().and_then(|error| error.try_downcast_ref());
    if let Some(number) = refused.map(MySqlDatabaseError::number) {
        return refusal(number, error, sent, table);
    }
    let plain = |kind, message: &'static str, broken| (kind, message.into(), broken);
    let (kind, message, broken) = match &error {
        Error::PoolTimedOut | Error::PoolClosed => plain(
            NotApplied,
            "no connection to mysql in time: the server cannot be reached, or others keep the storage's connections waiting",
            Broken::No,
        ),
        // The client has no error of its own for it.
        Error::Configuration(reason) if reason.to_string().contains("RSA") => plain(
            Configuration,
            "no login to mysql: passwords of the kind `caching_sha2_password` need an encrypted connection, or the feature `mysql-rsa` \
             of sqlx",
            Broken::Yes,
        ),
        Error::Configuration(_) | Error::InvalidArgument(_) => {
            plain(Configuration, "the address of the mysql server cannot be used", Broken::No)
        }
        Error::Tls(why) => (
            Configuration,
            format!("no encrypted connection to mysql: {}", without_tls(&why.to_string())).into(),
            Broken::Yes,
        ),
        Error::Encode(_) => plain(Configuration, "a value is too large for mysql", Broken::No),
        _ if sent => {
            plain(Indeterminate, "the connection to mysql broke before it answered", Broken::Yes)
        }
        Error::Protocol(_) => plain(
            NotApplied,
            "cannot connect to mysql: what listens there is another kind of server",
            Broken::Yes,
        ),
        other => {
            let (kind, message) = reach::unreached("mysql", &other.to_string());
            (kind, message, Broken::Yes)
        }
    };
    let then = if matches!(error, Error::Encode(_)) { Then::Split } else { Then::Tell };
    (Fault::new(then, kind, message, error), broken)
}

/// What the server's numbers mean. Of most that are listed it is certain that the statement changed nothing; of others nothing is.
fn refusal(number: u16, error: Error, sent: bool, table: &Table) -> (Fault, Broken) {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};
    use Then::{Again, Split, Tell};

    let plain = |then, kind, message: &'static str| (then, kind, message.to_owned(), Broken::No);
    if let Some(message) = login::refusal(number) {
        return (Fault::new(Tell, Configuration, message, error), Broken::No);
    }
    let (then, kind, message, broken) = match number {
        // A deadlock, a row that changed under a snapshot, a key that another process has inserted, a transaction that another member of
        // the group has precluded.
        1213 | 1020 | 1062 | 3101 => {
            plain(Again, NotApplied, "mysql kept aborting the statement (deadlock)")
        }
        1205 => plain(
            Then::Locked,
            NotApplied,
            "an open transaction of somebody else's holds the row or the table: try again when it has ended",
        ),
        // The tables were changed under a prepared statement.
        1615 => {
            let message =
                "mysql does not run the statement on the tables that are there".to_owned();
            (Again, Configuration, message, Broken::Yes)
        }
        1146 => {
            let file = "the statements of `idempotency::storage::sql::MYSQL_SCHEMA`";
            (Tell, Configuration, migrate::missing(table, file), Broken::No)
        }
        // A column that is not there, or one that nobody here fills.
        1054 | 1048 | 1364 => (Tell, Configuration, migrate::other_columns(table), Broken::No),
        1142 | 1143 | 1370 => (
            Tell,
            Configuration,
            format!("this user of mysql may not read and write the table {table}"),
            Broken::No,
        ),
        1064 | 1305 => plain(
            Tell,
            Configuration,
            "mysql does not understand the statement: MySQL 8.0 or MariaDB 10.6, or later, is needed",
        ),
        1243 => {
            plain(Tell, Configuration, "a pooler between us and mysql loses prepared statements")
        }
        1461 => plain(
            Tell,
            Configuration,
            "mysql has no room for prepared statements: raise `max_prepared_stmt_count`",
        ),
        1290 | 1792 | 1836 => (
            Tell,
            NotApplied,
            "mysql is a read-only replica, or has become one, or this session's transactions are read-only (`transaction_read_only`)"
                .to_owned(),
            Broken::Yes,
        ),
        1021 | 1114 => {
            plain(Tell, NotApplied, "the disk or the table space of the mysql server is full")
        }
        1040 | 1203 | 1226 => plain(Tell, NotApplied, "mysql has no connection left"),
        // Of a statement that reads.
        3024 => plain(Tell, NotApplied, "mysql cancelled the statement"),
        // The statement may have been committed when the server was told to stop, or a proxy lost it, which says so with a client's number.
        1053 | 1077 | 1152 | 1158..=1161 | 1927 | 2000..=2999 | 3169 | 4031 => {
            let kind = if sent { Indeterminate } else { NotApplied };
            (Tell, kind, "the mysql server is going away".to_owned(), Broken::Yes)
        }
        1153 | 1301 => (
            Split,
            Configuration,
            "a result is larger than the server's `max_allowed_packet`".to_owned(),
            Broken::Yes,
        ),
        1264 | 1366 | 1406 | 1690 => {
            plain(Split, Configuration, "mysql does not accept a value of the record")
        }
        // Among them: the commit failed (1180), the binary log cannot be written (1026, 1598), the statement was killed (1317, 1969). They may
        // come when the engine, or the log that the server recovers from, has the commit already.
        number => {
            let kind = if sent { Indeterminate } else { NotApplied };
            let message = format!("mysql did not say what became of the statement ({number})");
            (Tell, kind, message, Broken::No)
        }
    };
    (Fault::new(then, kind, message, error), broken)
}

/// Why the client has no TLS.
fn without_tls(text: &str) -> &'static str {
    if text.contains("built without TLS") {
        "switch on a TLS feature of sqlx, such as `tls-rustls-ring-webpki`"
    } else if text.contains("does not support TLS") {
        "the server does not offer TLS (`ssl_cert`, `ssl_key`)"
    } else {
        "a certificate or a key that the URL names cannot be used, or the server's is not accepted"
    }
}

/// The server's number of a fault, where it is the server's.
pub(super) fn number(fault: &Fault) -> Option<u16> {
    Some(
        fault
            .error
            .client()?
            .as_database_error()?
            .try_downcast_ref::<MySqlDatabaseError>()?
            .number(),
    )
}

/// The fault of a statement that was not answered in time.
pub(super) fn no_answer() -> Fault {
    let message = "mysql did not answer in time";
    Fault { then: Then::Tell, error: StorageError::new(StorageErrorKind::Indeterminate, message) }
}

#[cfg(test)]
mod tests {
    use super::super::super::table::Quote;
    use super::*;

    #[test]
    fn what_may_have_been_committed_is_not_said_to_be_refused() {
        let kind = |number, sent| {
            let (fault, _) =
                refusal(number, Error::WorkerCrashed, sent, &Table::standard(Quote::Backtick));
            fault.error.kind()
        };
        for lost in [1026, 1047, 1053, 1180, 1317, 1598, 1927, 1969, 2006, 2013, 3100, 9001] {
            assert_eq!(kind(lost, true), StorageErrorKind::Indeterminate, "{lost}");
            assert_eq!(kind(lost, false), StorageErrorKind::NotApplied, "{lost}");
        }
        for refused in [1021, 1062, 1205, 1213, 3101] {
            assert_eq!(kind(refused, true), StorageErrorKind::NotApplied, "{refused}");
        }
    }
}
