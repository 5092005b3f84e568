//! Classifies the errors of the client and the server.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::storage::reach;
use crate::storage::{StorageError, StorageErrorKind};

/// The code of the error for a user who lacks rights. Its detail names them.
pub(super) const LACKS_RIGHTS: &str = "LACKS-RIGHTS";

/// An error of a command.
#[derive(Clone, Debug)]
pub(super) enum CommandError {
    /// No connection was acquired.
    Unsent(RedisError),
    /// It was sent, or may have been.
    Sent(RedisError),
}

/// The error of a command that will get no reply.
pub(super) fn abandoned() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

/// The error of a command whose reply did not come in time.
pub(super) fn late() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

impl From<RedisError> for CommandError {
    fn from(error: RedisError) -> Self {
        Self::Sent(error)
    }
}

impl CommandError {
    /// Whether the server does not know the script that was called.
    pub(super) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Sent(error) if error.kind() == ServerErrorKind::NoScript.into())
    }

    /// Whether the server or its settings refuse the command, so that a retry is of no use.
    pub(super) fn is_refusal(&self) -> bool {
        let (Self::Unsent(error) | Self::Sent(error)) = self;
        is_refusal(error)
    }

    /// Whether the key that was named holds something of another type.
    pub(super) fn is_wrong_type(&self) -> bool {
        matches!(self, Self::Sent(error) if error.code() == Some("WRONGTYPE"))
    }

    /// The error for the caller; `server` says which server without its password.
    pub(super) fn into_storage_error(self, server: &str) -> StorageError {
        let (error, sent) = match self {
            Self::Unsent(error) => (error, false),
            Self::Sent(error) => (error, true),
        };
        let (kind, message) = match error.code().and_then(refusal) {
            _ if error.code() == Some(LACKS_RIGHTS) => {
                let lacking = error.detail().unwrap_or("run a command");
                (
                    StorageErrorKind::Configuration,
                    format!(
                        "redis at {server} does not let this user {lacking}, as records need it: \
                         grant the rights that docs/operating.md lists"
                    ),
                )
            }
            Some((kind, reason)) => (kind, format!("redis at {server} {reason}")),
            None => transport(&error, sent, server),
        };
        StorageError::new(kind, message).with_source(error)
    }
}

/// Whether the server does not let this user run a command, or does not know it.
pub(super) fn is_refusal(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError)
    )
}

/// The error for an address that needs a feature which is not compiled in.
#[cfg(not(all(feature = "redis-sentinel", feature = "redis-cluster")))]
pub(super) fn needs_feature(feature: &str) -> StorageError {
    let message = format!("this address needs the feature `{feature}`");
    StorageError::new(StorageErrorKind::Configuration, message)
}

/// Classifies the server's error codes. None of them changes anything.
fn refusal(code: &str) -> Option<(StorageErrorKind, &'static str)> {
    use StorageErrorKind::{Configuration, Corrupt, NotApplied};
    Some(match code {
        "OOM" => (NotApplied, "is out of memory and refuses writes"),
        "LOADING" => (NotApplied, "is still loading its data"),
        "READONLY" => (NotApplied, "is a replica, or has become one"),
        "MASTERDOWN" => (NotApplied, "has lost its primary"),
        "CLUSTERDOWN" => (NotApplied, "reports that the cluster is down"),
        "TRYAGAIN" => (NotApplied, "is moving the slot of the key"),
        "MISCONF" => (NotApplied, "refuses writes because it cannot save to disk"),
        "NOREPLICAS" => (NotApplied, "refuses writes because it has too few replicas"),
        "BUSY" => (NotApplied, "is busy running a script"),
        "WRONGTYPE" => (Corrupt, "holds a value of another type under the record's key"),
        "NOAUTH" => (Configuration, "requires a password"),
        "WRONGPASS" => (Configuration, "does not accept the user name or the password"),
        "NOPERM" => (Configuration, "does not let this user run a command that is needed"),
        "MOVED" | "ASK" | "CROSSSLOT" => {
            (Configuration, "is a node of a cluster: use a redis-cluster:// address")
        }
        "NOPROTO" => (Configuration, "is too old: version 7.0 or later is needed"),
        _ => return None,
    })
}

/// Reasons by the server's text, where its code is too general. A cluster's client passes on only
/// the texts of its nodes.
const TEXTS: [(&str, StorageErrorKind, &str); 9] = {
    use StorageErrorKind::{Configuration, NotApplied};
    [
        ("NOAUTH", Configuration, "requires a password"),
        ("WRONGPASS", Configuration, "does not accept the user name or the password"),
        ("DB index is out of range", Configuration, "has no database of this number (`databases`)"),
        ("invalid DB index", Configuration, "has no database of this number (`databases`)"),
        (
            "SELECT is not allowed in cluster mode",
            Configuration,
            "is a node of a cluster, which has no databases: use a redis-cluster:// address",
        ),
        ("cluster support disabled", Configuration, "is no cluster: use a redis:// address"),
        ("max number of clients reached", NotApplied, "has no connection left (`maxclients`)"),
        (
            "protected mode",
            Configuration,
            "accepts local connections only: set a password, or `protected-mode no`",
        ),
        ("unknown command", Configuration, "lacks a command: version 7.0 or later is needed"),
    ]
};

fn transport(error: &RedisError, sent: bool, server: &str) -> (StorageErrorKind, String) {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};
    let text = error.to_string();
    let redis = |kind, reason: &str| (kind, format!("redis at {server} {reason}"));
    match error.kind() {
        ErrorKind::AuthenticationFailed if text.contains("required") => {
            redis(Configuration, "requires a password")
        }
        ErrorKind::AuthenticationFailed if !text.contains("NOAUTH") => {
            redis(Configuration, "does not accept the user name or the password")
        }
        _ if let Some((_, kind, reason)) = TEXTS.iter().find(|(part, ..)| text.contains(part)) => {
            redis(*kind, reason)
        }
        ErrorKind::RESP3NotSupported => {
            redis(Configuration, "is too old: version 7.0 or later is needed")
        }
        ErrorKind::InvalidClientConfig | ErrorKind::EmptySentinelList => {
            (Configuration, format!("the address {server} cannot be used"))
        }
        ErrorKind::MasterNameNotFoundBySentinel => (
            NotApplied,
            format!("the sentinels at {server} know no reachable primary of this name"),
        ),
        ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoScript)
        | ErrorKind::Extension => redis(Configuration, "answered with an error"),
        _ if !sent && let Some(reason) = reach::refused_handshake(&text) => {
            redis(Configuration, reason)
        }
        _ if !sent => {
            let message = format!("cannot connect to redis at {server}");
            (NotApplied, reach::because(message, not_reached(error, &text, server)).into_owned())
        }
        _ if error.is_timeout() => redis(Indeterminate, "did not answer in time"),
        _ => {
            (Indeterminate, format!("the connection to redis at {server} broke before it answered"))
        }
    }
}

/// Why there is no connection.
fn not_reached(error: &RedisError, text: &str, server: &str) -> Option<&'static str> {
    /// TLS errors of a server that answered in plain text.
    const IN_THE_CLEAR: [&str; 3] = ["corrupt message", "InvalidContentType", "invalid TLS"];

    if error.is_timeout() && server.starts_with("rediss") {
        Some("it does not answer in time, as a server without TLS does (`rediss` requires TLS)")
    } else if error.is_timeout() {
        Some("it does not answer in time")
    } else if let Some(reason) = reach::reason(text) {
        Some(reason)
    } else if IN_THE_CLEAR.iter().any(|part| text.contains(part)) {
        Some("the server there does not speak TLS, which `rediss` requires")
    } else if error.kind() == ErrorKind::Parse {
        Some("the server there does not speak the redis protocol, or requires TLS (`rediss`)")
    } else if error.is_connection_dropped() {
        Some(
            "it closed the connection, as a server does that requires TLS (`rediss`) or has no connection left (`maxclients`)",
        )
    } else {
        None
    }
}
