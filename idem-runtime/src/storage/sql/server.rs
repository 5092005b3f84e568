//! Reaching the server that a URL names.

use std::io;
use std::time::Duration;

use sqlx::{ConnectOptions, Connection, Database, Error};
use tokio::time::{Instant, sleep, timeout_at};

use super::connections::{Address, FIRST_PATIENCE};
use crate::storage::{StorageError, StorageErrorKind, reach};

/// A URL's options, as the client reads them.
///
/// # Errors
///
/// With nothing of the URL in the text. `example` is what it has to be like.
pub(super) fn options<O: std::str::FromStr>(
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

/// Connects once, so that a wrong address shows at the start. A pool would not say why, but try until its patience ends.
///
/// # Errors
///
/// Those of the client. A server that is being started is waited for.
pub(super) async fn try_once<DB: Database>(
    options: &Address<DB>,
    is_starting: impl Fn(&Error) -> bool,
) -> Result<(), Error> {
    let until = Instant::now() + FIRST_PATIENCE;
    let mut pause = Duration::from_millis(20);
    loop {
        let connected = timeout_at(until, options.connect()).await;
        match connected.unwrap_or_else(|_| Err(Error::Io(io::ErrorKind::TimedOut.into()))) {
            Ok(connection) => {
                // Whether the server hears that this was all matters to nobody.
                let _ = timeout_at(until, connection.close()).await;
                return Ok(());
            }
            Err(error) if is_starting(&error) && Instant::now() + pause < until => {}
            Err(error) => return Err(error),
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(500));
    }
}

/// An error of a first connection, which names the server.
pub(super) fn with_address(error: StorageError, called: &str, server: &str) -> StorageError {
    let text = error.to_string().replacen(called, &format!("{called} at {server}"), 1);
    error.with_text(text)
}
