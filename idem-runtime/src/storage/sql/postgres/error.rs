//! What an error of the client or the server means for a caller.

use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::fault::{Fault, Then};
use super::super::migrate;
use super::super::table::Table;
use super::login;
use crate::storage::{StorageError, StorageErrorKind, reach};

/// Whether the connection is of use afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Yes,
    No,
}

/// The fault for an error; `sent` says whether the statement was on its way.
pub(super) fn explain(error: Error, sent: bool, table: &Table) -> (Fault, Broken) {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};

    let code =
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(String::from);
    if let Some(code) = code {
        let is_fatal = ends_connection(&error);
        let ends = sent && is_fatal && !AT_LOGIN.contains(&code.as_str());
        return match login::refusal(&code, &error) {
            _ if ends => ended(&code, error),
            // What ends a connection with these codes refuses it when it is opened.
            Some((kind, message)) if is_fatal || !sent => {
                (Fault::new(Then::Tell, kind, message, error), Broken::Yes)
            }
            _ => refusal(&code, error, sent, table),
        };
    }
    let plain = |kind, message: &'static str, broken| (kind, message.into(), broken);
    let (kind, message, broken) = match &error {
        Error::PoolTimedOut | Error::PoolClosed => plain(
            NotApplied,
            "no connection to postgres in time: the server cannot be reached, or others keep the storage's connections waiting",
            Broken::No,
        ),
        Error::Configuration(_) | Error::InvalidArgument(_) => {
            plain(Configuration, "the address of the postgres server cannot be used", Broken::No)
        }
        Error::Tls(why) => (
            Configuration,
            format!("no encrypted connection to postgres: {}", without_tls(&why.to_string()))
                .into(),
            Broken::Yes,
        ),
        Error::Encode(_) => plain(Configuration, "a value is too large for postgres", Broken::No),
        _ if sent => {
            plain(Indeterminate, "the connection to postgres broke before it answered", Broken::Yes)
        }
        Error::Protocol(_) => plain(
            NotApplied,
            "cannot connect to postgres: what listens there is another kind of server",
            Broken::Yes,
        ),
        other => {
            let (kind, message) = reach::unreached("postgres", &other.to_string());
            (kind, message, Broken::Yes)
        }
    };
    let then = if matches!(error, Error::Encode(_)) { Then::Split } else { Then::Tell };
    (Fault::new(then, kind, message, error), broken)
}

/// Said to those who connect, which a pooler does when it has a statement already.
const AT_LOGIN: [&str; 5] = ["28000", "28P01", "3D000", "53300", "57P03"];

/// An error with which the server ends the connection, whatever its code. The commit may have been written by then: where that fails half way,
/// as on a full disk, the server panics, and recovers what it has written.
fn ended(code: &str, error: Error) -> (Fault, Broken) {
    let message = format!(
        "postgres ended the connection before it said what became of the statement ({code})"
    );
    (Fault::new(Then::Tell, StorageErrorKind::Indeterminate, message, error), Broken::Yes)
}

/// What the server's codes mean. A statement that it answers with an error has changed nothing, unless the server ends the connection with it.
fn refusal(code: &str, error: Error, sent: bool, table: &Table) -> (Fault, Broken) {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};
    use Then::{Again, Split, Tell};

    let plain = |then, kind, message: &'static str| (then, kind, message.to_owned(), Broken::No);
    let (then, kind, message, broken) = match code {
        "40001" | "40P01" => {
            plain(Again, NotApplied, "postgres kept aborting the statement (deadlock or serialization failure)")
        }
        "55P03" => plain(
            Then::Locked,
            NotApplied,
            "an open transaction of somebody else's holds the row or the table: try again when it has ended",
        ),
        "25P02" => plain(
            Tell,
            NotApplied,
            "a statement of the transaction has failed before, and postgres rolls it back whatever follows",
        ),
        // The tables were changed under a prepared statement.
        "0A000" => {
            let message = "postgres does not run the statement on the tables that are there".to_owned();
            (Again, Configuration, message, Broken::Yes)
        }
        "3F000" => (
            Tell,
            Configuration,
            format!("there is no schema for the table {table}: create it, or name another one"),
            Broken::No,
        ),
        "42P01" => {
            let file = "the statements of `idempotency::storage::sql::POSTGRES_SCHEMA`";
            (Tell, Configuration, migrate::missing(table, file), Broken::No)
        }
        // A column that is not there, or one that nobody here fills.
        "42703" | "42P10" | "23502" => {
            (Tell, Configuration, migrate::other_columns(table), Broken::No)
        }
        "42501" if mentions(&error, "for schema") => (
            Tell,
            Configuration,
            format!("this user of postgres may not use the schema of the table {table}: grant USAGE on it"),
            Broken::No,
        ),
        "42501" => (
            Tell,
            Configuration,
            format!("this user of postgres may not read and write the table {table}"),
            Broken::No,
        ),
        "26000" | "42P05" | "08P01" if !ends_connection(&error) => (
            Tell,
            Configuration,
            "a pooler between us and postgres loses prepared statements: see `PostgresBuilder::prepared_statements`"
                .to_owned(),
            Broken::Yes,
        ),
        "25006" => (
            Tell,
            NotApplied,
            "postgres is a read-only replica, or has become one, or this user's transactions are read-only (`default_transaction_read_only`)"
                .to_owned(),
            Broken::Yes,
        ),
        "53100" => plain(Tell, NotApplied, "the disk of the postgres server is full"),
        "53300" => plain(Tell, NotApplied, "postgres has no connection left"),
        "57014" => plain(Tell, NotApplied, "postgres cancelled the statement"),
        "57P03" => plain(Tell, NotApplied, "postgres is starting up or shutting down"),
        // The statement may have been committed when the server was told to stop, or a pooler lost it.
        code if code == "40003" || code.starts_with("57P") || code.starts_with("08") => {
            let (kind, message) = if sent {
                (Indeterminate, "the postgres server is going away")
            } else {
                (NotApplied, "postgres, or a pooler before it, ended the connection before it was open")
            };
            (Tell, kind, message.to_owned(), Broken::Yes)
        }
        "22P05" => plain(
            Split,
            Configuration,
            "the encoding of the postgres database lacks a character of the key: it has to be UTF8",
        ),
        code if ["22", "23", "54"].contains(&&code[..code.len().min(2)]) => {
            plain(Split, Configuration, "postgres does not accept a value of the record")
        }
        code if code.starts_with("42") => {
            (Tell, Configuration, format!("postgres does not understand the statement ({code})"), Broken::No)
        }
        code => (Tell, NotApplied, format!("postgres refused the statement ({code})"), Broken::No),
    };
    (Fault::new(then, kind, message, error), broken)
}

/// Whether the server says this. There are rights that it has no code for.
pub(super) fn mentions(error: &Error, words: &str) -> bool {
    let message = error.as_database_error().map(sqlx::error::DatabaseError::message);
    message.is_some_and(|message| message.contains(words))
}

/// Why the client has no TLS.
fn without_tls(text: &str) -> &'static str {
    if text.contains("built without TLS") {
        "switch on a TLS feature of sqlx, such as `tls-rustls-ring-webpki`"
    } else if text.contains("does not support TLS") {
        "the server does not offer TLS (`ssl = on`)"
    } else {
        "a certificate or a key that the URL names cannot be used, or the server's is not accepted"
    }
}

fn ends_connection(error: &Error) -> bool {
    let refused = error.as_database_error().and_then(|error| error.try_downcast_ref());
    let severity = refused.map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Panic | PgSeverity::Fatal))
}

/// Whether what lies between us and the server takes no settings when a session is opened, as poolers do.
pub(super) fn refuses_settings(error: &Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "08P01" || code == "0A000")
}

/// The fault of a statement that was not answered in time.
pub(super) fn no_answer() -> Fault {
    let message = "postgres did not answer in time";
    Fault { then: Then::Tell, error: StorageError::new(StorageErrorKind::Indeterminate, message) }
}

#[cfg(test)]
mod tests {
    use super::super::super::table::Quote;
    use super::*;

    #[test]
    fn what_may_have_been_committed_is_not_said_to_be_refused() {
        let kind = |code, sent| {
            let (fault, _) =
                refusal(code, Error::WorkerCrashed, sent, &Table::standard(Quote::Double));
            fault.error.kind()
        };
        for lost in ["40003", "57P01", "57P02", "08006"] {
            assert_eq!(kind(lost, true), StorageErrorKind::Indeterminate, "{lost}");
            assert_eq!(kind(lost, false), StorageErrorKind::NotApplied, "{lost}");
        }
        for refused in ["40001", "53100", "57014"] {
            assert_eq!(kind(refused, true), StorageErrorKind::NotApplied, "{refused}");
        }
    }
}
