//! Classifies the errors of the client and the server.

use sqlx::Error;
use sqlx::postgres::{PgDatabaseError, PgSeverity};

use super::super::migrate;
use super::super::server::{Broken, classify_client_error};
use super::super::statement_error::{Rerun, SendState, StatementError};
use super::super::table::Table;
use super::login;
use crate::storage::StorageErrorKind;

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
    let code =
        error.as_database_error().and_then(sqlx::error::DatabaseError::code).map(String::from);
    if let Some(code) = code {
        let is_fatal = ends_connection(&error);
        let is_sent = send_state == SendState::Sent;
        let ends = is_sent && is_fatal && !AT_LOGIN.contains(&code.as_str());
        return match login::refusal(&code, &error) {
            _ if ends => ended(&code, error),
            // What ends a connection with these codes refuses it when it is opened.
            Some((kind, message)) if is_fatal || !is_sent => {
                (StatementError::new(Rerun::Never, kind, message, error), Broken::Yes)
            }
            _ => refusal(&code, error, send_state, table),
        };
    }
    classify_client_error(error, send_state, "postgres", "`ssl = on`")
}

/// Codes of a refused login. A pooler also sends them in reply to a statement.
const AT_LOGIN: [&str; 5] = ["28000", "28P01", "3D000", "53300", "57P03"];

/// An error with which the server ends the connection, whatever its code. The commit may have been
/// written by retry: where that fails half way, as on a full disk, the server panics, and recovers
/// what it has written.
fn ended(code: &str, error: Error) -> (StatementError, Broken) {
    let message = format!(
        "postgres ended the connection, and the outcome of the statement is unknown ({code})"
    );
    (
        StatementError::new(Rerun::Never, StorageErrorKind::Indeterminate, message, error),
        Broken::Yes,
    )
}

/// Classifies the server's error codes. A statement that fails has changed nothing, unless the
/// server ends the connection with it.
fn refusal(
    code: &str,
    error: Error,
    send_state: SendState,
    table: &Table,
) -> (StatementError, Broken) {
    use Rerun::{Individually, Never, Together};
    use StorageErrorKind::{Configuration, NotApplied};

    let plain = |retry, kind, message: &str| (retry, kind, message.to_owned(), Broken::No);
    let never = |kind, message: &str| (Never, kind, message.to_owned(), Broken::No);
    let broken = |kind, message: &str| (Never, kind, message.to_owned(), Broken::Yes);
    let (retry, kind, message, broken) = match code {
        "40001" | "40P01" => plain(
            Together,
            NotApplied,
            "postgres kept aborting the statement (deadlock or serialization failure)",
        ),
        "55P03" => plain(
            Rerun::Locked,
            NotApplied,
            "another open transaction holds the lock of the row or the table: retry when it has ended",
        ),
        "25P02" => never(
            NotApplied,
            "an earlier statement of the transaction failed, and postgres accepts no others: roll back and retry",
        ),
        // The tables were changed under a prepared statement.
        "0A000" => {
            let message = "postgres cannot run the statement on the current tables".to_owned();
            (Together, Configuration, message, Broken::Yes)
        }
        "3F000" => never(
            Configuration,
            &format!("there is no schema for the table {table}: create it, or name another one"),
        ),
        "42P01" => {
            let file = "the statements of `idempotency::storage::sql::POSTGRES_SCHEMA`";
            never(Configuration, &migrate::missing(table, file))
        }
        // A column is missing, or is required and unknown to this version.
        "42703" | "42P10" | "23502" => never(Configuration, &migrate::other_columns(table)),
        "42501" if login::mentions(&error, "for schema") => never(
            Configuration,
            &format!(
                "this postgres user may not use the schema of the table {table}: grant USAGE on it"
            ),
        ),
        "42501" => never(
            Configuration,
            &format!("this postgres user may not read and write the table {table}"),
        ),
        "26000" | "42P05" | "08P01" if !ends_connection(&error) => broken(
            Configuration,
            "a pooler in front of postgres loses prepared statements: see `PostgresBuilder::prepared_statements`",
        ),
        "25006" => broken(
            NotApplied,
            "postgres is a read-only replica, or has become one, or this user's transactions are read-only (`default_transaction_read_only`)",
        ),
        "53100" => never(NotApplied, "the disk of the postgres server is full"),
        "53300" => never(NotApplied, "postgres has no connection left"),
        "57014" => never(NotApplied, "postgres cancelled the statement"),
        "57P03" => never(NotApplied, "postgres is starting up or shutting down"),
        // The statement may have been committed before the shutdown, or a pooler lost it.
        code if code == "40003" || code.starts_with("57P") || code.starts_with("08") => {
            let message = match send_state {
                SendState::Sent => "the postgres server is shutting down",
                SendState::Unsent => {
                    "postgres, or a pooler before it, ended the connection before it was open"
                }
            };
            (Never, send_state.kind(), message.to_owned(), Broken::Yes)
        }
        "22P05" => plain(
            Individually,
            Configuration,
            "the encoding of the postgres database lacks a character of the key: it has to be UTF8",
        ),
        code if ["22", "23", "54"].contains(&&code[..code.len().min(2)]) => {
            plain(Individually, Configuration, "postgres does not accept a value of the record")
        }
        code if code.starts_with("42") => {
            never(Configuration, &format!("postgres does not understand the statement ({code})"))
        }
        code => never(NotApplied, &format!("postgres refused the statement ({code})")),
    };
    (StatementError::new(retry, kind, message, error), broken)
}

fn ends_connection(error: &Error) -> bool {
    let refused = error.as_database_error().and_then(|error| error.try_downcast_ref());
    let severity = refused.map(PgDatabaseError::severity);
    matches!(severity, Some(PgSeverity::Panic | PgSeverity::Fatal))
}

/// Whether a pooler refuses the settings that a session is opened with.
pub(super) fn refuses_settings(error: &Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    code.is_some_and(|code| code == "08P01" || code == "0A000")
}

#[cfg(test)]
mod tests {
    use super::super::super::table::Quote;
    use super::*;

    #[test]
    fn what_may_have_been_committed_is_not_said_to_be_refused() {
        let kind = |code, send_state| {
            let (fault, _) =
                refusal(code, Error::WorkerCrashed, send_state, &Table::standard(Quote::Double));
            fault.error.kind()
        };
        for lost in ["40003", "57P01", "57P02", "08006"] {
            assert_eq!(kind(lost, SendState::Sent), StorageErrorKind::Indeterminate, "{lost}");
            assert_eq!(kind(lost, SendState::Unsent), StorageErrorKind::NotApplied, "{lost}");
        }
        for refused in ["40001", "53100", "57014"] {
            assert_eq!(kind(refused, SendState::Sent), StorageErrorKind::NotApplied, "{refused}");
        }
    }
}
