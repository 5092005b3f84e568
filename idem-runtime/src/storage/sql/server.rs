//! What the clients of Postgres and MySQL have in common: reaching a server, and their own errors.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolOptions;
use sqlx::{ConnectOptions, Connection, Error};
use tokio::time::{Instant, sleep, timeout_at};

use super::builder::SqlBuilder;
use super::connections::{Address, FIRST_PATIENCE, on_driver};
use super::database::{SqlBackend, SqlDatabase};
use super::statement_error::{Rerun, SendState, StatementError};
use super::storage::SqlStorage;
use crate::storage::{StorageError, StorageErrorKind, reach};

/// A database on a server.
pub(crate) trait ServerDatabase: SqlDatabase {
    /// A URL, for errors.
    const EXAMPLE: &'static str;

    /// The address of a server, for errors.
    fn server(options: &Address<Self>) -> String;

    /// Whether the server may accept connections in a moment.
    fn is_starting(error: &Error) -> bool;
}

#[expect(private_bounds, reason = "the databases are those that this library knows")]
impl<DB: ServerDatabase> SqlBuilder<DB> {
    /// How long an answer may take until the request counts as lost; 10 seconds unless set.
    pub fn response_timeout(mut self, limit: Duration) -> Self {
        self.options.response_timeout = limit;
        self
    }
}

/// A storage on the server that `url` names.
pub(super) async fn connect<DB: ServerDatabase>(
    builder: SqlBuilder<DB>,
    url: &str,
) -> Result<SqlStorage<DB>, StorageError> {
    let options: Address<DB> = options(url, DB::BACKEND, DB::EXAMPLE)?;
    // Our own errors and metrics name slow statements.
    let options = options.disable_statement_logging();
    let first = options.clone();
    let storage = builder.on_address(PoolOptions::new(), move || options.clone())?;
    let backend = Arc::clone(storage.backend());
    let limit = backend.limit().max(FIRST_PATIENCE * 2);
    let trying = async move {
        let tried = try_once::<DB>(&first).await;
        let explain = |error| backend.explain(error, SendState::Unsent).into();
        tried.map_err(|error| with_address(explain(error), DB::BACKEND, &DB::server(&first)))
    };
    on_driver(limit, trying).await?;
    storage.log_warnings().await?;
    storage.ensure_tables().await?;
    Ok(storage)
}

/// Parses a URL into the client's options.
///
/// # Errors
///
/// The text repeats nothing of the URL, and shows the `example`.
fn options<O: std::str::FromStr>(
    url: &str,
    called: &str,
    example: &str,
) -> Result<O, StorageError> {
    let refused = |message: String| StorageError::new(StorageErrorKind::Configuration, message);
    if reach::is_unencoded(url) {
        return Err(refused(format!(
            "the URL of the {called} server cannot be used: {}",
            reach::UNENCODED
        )));
    }
    // The client's error may repeat the password.
    url.parse().map_err(|_| {
        refused(format!(
            "not a URL of a {called} server: it has to be like {example}; in a user name or a password, percent-encode characters such as `#`, \
             `/`, `?`, `@` and `%`"
        ))
    })
}

/// Connects once, so that a wrong address is reported with its reason: a pool would retry until it
/// times out.
///
/// # Errors
///
/// Those of the client. Waits for a server that is starting.
async fn try_once<DB: ServerDatabase>(options: &Address<DB>) -> Result<(), Error> {
    let until = Instant::now() + FIRST_PATIENCE;
    let mut pause = Duration::from_millis(20);
    loop {
        let connected = timeout_at(until, options.connect()).await;
        match connected.unwrap_or_else(|_| Err(Error::Io(io::ErrorKind::TimedOut.into()))) {
            Ok(connection) => {
                // It does not matter whether the server gets the goodbye.
                let _ = timeout_at(until, connection.close()).await;
                return Ok(());
            }
            Err(error) if DB::is_starting(&error) && Instant::now() + pause < until => {}
            Err(error) => return Err(error),
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// Names the server in the error of a first connection.
fn with_address(error: StorageError, called: &str, server: &str) -> StorageError {
    let text = error.to_string().replacen(called, &format!("{called} at {server}"), 1);
    error.with_text(text)
}

/// Whether the connection is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Broken {
    Yes,
    No,
}

/// Classifies an error that does not come from the server. `tls` names the settings with which the
/// server offers TLS.
pub(super) fn classify_client_error(
    error: Error,
    send_state: SendState,
    called: &'static str,
    tls: &str,
) -> (StatementError, Broken) {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};

    let (kind, message, broken) = match &error {
        Error::PoolTimedOut | Error::PoolClosed => {
            let message = format!(
                "no connection to {called} in time: the server cannot be reached, or others keep the \
                 storage's connections waiting"
            );
            (NotApplied, message, Broken::No)
        }
        Error::Configuration(_) | Error::InvalidArgument(_) => {
            let message = format!("the address of the {called} server cannot be used");
            (Configuration, message, Broken::No)
        }
        Error::Tls(why) => {
            let reason = without_tls(&why.to_string(), tls);
            (Configuration, format!("no encrypted connection to {called}: {reason}"), Broken::Yes)
        }
        Error::Encode(_) => {
            (Configuration, format!("a value is too large for {called}"), Broken::No)
        }
        _ if send_state == SendState::Sent => {
            let message = format!("the connection to {called} broke before it answered");
            (Indeterminate, message, Broken::Yes)
        }
        Error::Protocol(_) => {
            let message =
                format!("cannot connect to {called}: another kind of server listens there");
            (NotApplied, message, Broken::Yes)
        }
        other => {
            let (kind, message) = reach::unreached(called, &other.to_string());
            (kind, message.into_owned(), Broken::Yes)
        }
    };
    let then = if matches!(error, Error::Encode(_)) { Rerun::Individually } else { Rerun::Never };
    (StatementError::new(then, kind, message, error), broken)
}

/// Why there is no TLS.
fn without_tls(text: &str, setting: &str) -> String {
    if text.contains("built without TLS") {
        "switch on a TLS feature of sqlx, such as `tls-rustls-ring-webpki`".to_owned()
    } else if text.contains("does not support TLS") {
        format!("the server does not offer TLS ({setting})")
    } else {
        "a certificate or a key that the URL names cannot be used, or the server's is not accepted"
            .to_owned()
    }
}

/// The error of a statement that was not answered in time.
pub(super) fn no_answer(called: &str) -> StatementError {
    let message = format!("{called} did not answer in time");
    StatementError::never(StorageErrorKind::Indeterminate, message)
}
