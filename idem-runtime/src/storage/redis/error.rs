//! What an error of the client or the server means for a caller.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::rights;
use crate::storage::{StorageError, StorageErrorKind};

/// An error, with how far the request had got.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    /// There was no connection to send it on.
    Unsent(RedisError),
    /// It was sent, or may have been.
    Sent(RedisError),
}

/// The error of a command whose reply will not come.
pub(super) fn abandoned() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::BrokenPipe).into()
}

/// The error of a command whose reply did not come in time.
pub(super) fn late() -> RedisError {
    std::io::Error::from(std::io::ErrorKind::TimedOut).into()
}

impl From<RedisError> for Fault {
    fn from(error: RedisError) -> Self {
        Self::Sent(error)
    }
}

impl Fault {
    /// Whether the server does not know the script that was called.
    pub(super) fn is_unknown_script(&self) -> bool {
        matches!(self, Self::Sent(error) if error.kind() == ServerErrorKind::NoScript.into())
    }

    /// Whether the server or its settings do not let us, so that asking again is of no use.
    pub(super) fn is_refusal(&self) -> bool {
        let (Self::Unsent(error) | Self::Sent(error)) = self;
        matches!(
            error.kind(),
            ErrorKind::Server(ServerErrorKind::NoPerm | ServerErrorKind::ResponseError)
        )
    }

    /// Whether the key that was named holds something of another type.
    #[cfg(feature = "outbox")]
    pub(super) fn is_wrong_type(&self) -> bool {
        matches!(self, Self::Sent(error) if error.code() == Some("WRONGTYPE"))
    }

    /// The error for the caller; `server` says which server without its password.
    pub(super) fn explain(self, server: &str) -> StorageError {
        let (error, sent) = match self {
            Self::Unsent(error) => (error, false),
            Self::Sent(error) => (error, true),
        };
        let (kind, message) = match error.code().and_then(refusal) {
            _ if error.code() == Some(rights::LACKS) => {
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

/// What the server's error codes mean. None of them leaves anything changed.
fn refusal(code: &str) -> Option<(StorageErrorKind, String)> {
    use StorageErrorKind::{Configuration, Corrupt, NotApplied};
    let (kind, reason) = match code {
        "OOM" => (NotApplied, "is out of memory and refuses writes"),
        "LOADING" => (NotApplied, "is still loading its data"),
        "READONLY" => (NotApplied, "is a replica, or has become one"),
        "MASTERDOWN" => (NotApplied, "has lost its primary"),
        "CLUSTERDOWN" => (NotApplied, "says that the cluster is down"),
        "TRYAGAIN" => (NotApplied, "is moving the slot of the key"),
        "MISCONF" => (NotApplied, "refuses writes because it cannot save to disk"),
        "NOREPLICAS" => (NotApplied, "refuses writes because it has too few replicas"),
        "BUSY" => (NotApplied, "is busy with somebody's script"),
        "WRONGTYPE" => (Corrupt, "holds something else under the record's key"),
        "NOAUTH" => (Configuration, "asks for a password"),
        "WRONGPASS" => (Configuration, "does not accept the user name or the password"),
        "NOPERM" => (Configuration, "does not let this user run a command that is needed"),
        "MOVED" | "ASK" | "CROSSSLOT" => {
            (Configuration, "is a node of a cluster: use a redis-cluster:// address")
        }
        "NOPROTO" => (Configuration, "is too old: version 7.0 or later is needed"),
        _ => return None,
    };
    Some((kind, reason.to_owned()))
}

fn transport(error: &RedisError, sent: bool, server: &str) -> (StorageErrorKind, String) {
    use StorageErrorKind::{Configuration, Indeterminate, NotApplied};
    match error.kind() {
        ErrorKind::AuthenticationFailed => {
            let reason = if mentions(error, "NOAUTH") || mentions(error, "required") {
                "asks for a password"
            } else {
                "does not accept the user name or the password"
            };
            (Configuration, format!("redis at {server} {reason}"))
        }
        _ if mentions(error, "unknown command") => (
            Configuration,
            format!("redis at {server} lacks a command: version 7.0 or later is needed"),
        ),
        ErrorKind::RESP3NotSupported => {
            (Configuration, format!("redis at {server} is too old: version 7.0 or later is needed"))
        }
        ErrorKind::InvalidClientConfig | ErrorKind::EmptySentinelList => {
            (Configuration, format!("the address {server} cannot be used"))
        }
        ErrorKind::MasterNameNotFoundBySentinel => {
            (NotApplied, format!("the sentinels at {server} know no such primary that is up"))
        }
        ErrorKind::Server(ServerErrorKind::ResponseError | ServerErrorKind::NoScript)
        | ErrorKind::Extension => {
            (Configuration, format!("redis at {server} answered with an error"))
        }
        _ if !sent && let Some(reason) = refused_handshake(error) => {
            (Configuration, format!("redis at {server} {reason}"))
        }
        _ if !sent => {
            let why = if error.is_timeout() { ": it does not answer in time" } else { "" };
            (NotApplied, format!("cannot connect to redis at {server}{why}"))
        }
        _ if error.is_timeout() => {
            (Indeterminate, format!("redis at {server} did not answer in time"))
        }
        _ => {
            (Indeterminate, format!("the connection to redis at {server} broke before it answered"))
        }
    }
}

/// Why a TLS handshake failed, where asking again is of no use. The client of a cluster hands on nothing but rustls' text.
fn refused_handshake(error: &RedisError) -> Option<&'static str> {
    if mentions(error, "invalid peer certificate") {
        Some("shows a certificate that is not accepted")
    } else if mentions(error, "received fatal alert") && !mentions(error, "InternalError") {
        Some(
            "refuses the TLS handshake, such as for a certificate that it does not accept or misses",
        )
    } else {
        None
    }
}

fn mentions(error: &RedisError, word: &str) -> bool {
    error.to_string().contains(word)
}
