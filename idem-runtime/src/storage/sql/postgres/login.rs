//! Why a Postgres server, or a pooler before it, does not let a client in.
//!
//! | code | it is about |
//! |---|---|
//! | `28P01` | the user name or the password |
//! | `28000` | a rule of `pg_hba.conf`, among them that the connection has to be encrypted; a user who is not there or may not log in |
//! | `42501` | the right to connect to the database |
//! | `3D000`, `55000` | the database |
//! | `42704`, `22023`, `55P02` | a setting of the session |
//! | `08P01` | whatever a pooler says in its text |

use sqlx::Error;
use sqlx::postgres::PgDatabaseError;

use crate::storage::StorageErrorKind::{self, Configuration, NotApplied};

const LOGIN: &str = "postgres does not accept the user name or the password";
const ENCRYPTED: &str = "postgres lets this user in by an encrypted connection alone, or not from this host at all (`pg_hba.conf`): switch on a \
                         TLS feature of sqlx, and say so in the URL (`sslmode=require`)";
const DATABASE: &str = "postgres has no database of this name";
const FULL: &str = "postgres has no connection left";
const SETTING: &str = "postgres, or a pooler before it, refuses a setting of the session: look at `options` and the other parameters of the URL";

/// The reason behind the code of a refused connection, if it is about the login.
pub(super) fn refusal(code: &str, error: &Error) -> Option<(StorageErrorKind, &'static str)> {
    Some(match code {
        "28P01" => (Configuration, LOGIN),
        "28000" => (Configuration, rule(error)),
        "42501" if mentions(error, "set parameter") => (Configuration, SETTING),
        "42501" => (
            Configuration,
            "this postgres user may not connect to the database: grant CONNECT on it",
        ),
        "3D000" => (Configuration, DATABASE),
        "55000" => {
            (Configuration, "the database takes no connections (`ALLOW_CONNECTIONS` of postgres)")
        }
        "42704" | "22023" | "55P02" => (Configuration, SETTING),
        "53300" => (NotApplied, FULL),
        "57P03" => (NotApplied, "postgres is starting up or shutting down"),
        "08P01" | "08004" => return pooler(error),
        _ => return None,
    })
}

/// Which rule of `pg_hba.conf` it was. There are no codes for them; the routine is in no language.
fn rule(error: &Error) -> &'static str {
    let refused = error.as_database_error();
    let refused = refused.and_then(|error| error.try_downcast_ref::<PgDatabaseError>());
    let routine = refused.and_then(PgDatabaseError::routine);
    match routine {
        // As versions 14 and 13 say it.
        Some("ClientAuthentication")
            if mentions(error, "no encryption") || mentions(error, "SSL off") =>
        {
            ENCRYPTED
        }
        Some("ClientAuthentication") if mentions(error, "certificate") => {
            "postgres asks for a certificate of the client's: name it in the URL (`sslcert`, `sslkey`)"
        }
        Some("ClientAuthentication") => {
            "postgres does not let this user in from this host, or not to this database: add a rule to `pg_hba.conf`"
        }
        Some("InitializeSessionUserId") => {
            "postgres does not accept the user name: there is no such user, or it may not log in (`LOGIN`)"
        }
        _ => LOGIN,
    }
}

/// The reason in a pooler's text: poolers have few codes.
fn pooler(error: &Error) -> Option<(StorageErrorKind, &'static str)> {
    let says = |any: &[&str]| any.iter().any(|words| mentions(error, words));
    Some(if says(&["SSL required", "TLS required", "certificate"]) {
        (
            Configuration,
            "the pooler before postgres takes encrypted connections alone: switch on a TLS feature of sqlx, and say so in the URL \
             (`sslmode=require`)",
        )
    } else if says(&["no such database", "does not exist"]) {
        (Configuration, "the pooler before postgres has no database of this name")
    } else if says(&["no such user", "auth failed", "authentication failed", "login rejected"]) {
        (Configuration, "the pooler before postgres does not accept the user name or the password")
    } else if says(&["startup parameter"]) {
        (Configuration, SETTING)
    } else if says(&["no more connections allowed", "max_client_conn"]) {
        (NotApplied, "the pooler before postgres has no connection left")
    } else if says(&["cannot connect to server", "server login", "server_login"]) {
        (NotApplied, "the pooler before postgres cannot connect to the server, or is refused by it")
    } else {
        return None;
    })
}

/// Whether the server's message contains `words`: some rights have no code of their own.
pub(super) fn mentions(error: &Error, words: &str) -> bool {
    let message = error.as_database_error().map(sqlx::error::DatabaseError::message);
    message.is_some_and(|message| message.contains(words))
}
