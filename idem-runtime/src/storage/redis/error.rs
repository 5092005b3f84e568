//! What an error of the client or the server means for a caller.

use redis::{ErrorKind, RedisError, ServerErrorKind};

use crate::storage::reach;
use crate::storage::{StorageError, StorageErrorKind};

/// The code of the error for a user who lacks rights. Its detail names them.
pub(super) const LACKS: &str = "LACKS-RIGHTS";

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
            _ if error.code() == Some(LACKS) => {
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

/// The error for an address that needs a feature which was not compiled in.
#[cfg(not(all(feature = "redis-sentinel", feature = "redis-cluster")))]
pub(super) fn needs_feature(feature: &str) -> StorageError {
    StorageError::new(
        StorageErrorKind::Configuration,
        format!("this address needs the feature `{feature}`"),
    )
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
        // The client of a cluster hands on nothing but the texts of its nodes.
        _ if mentions(error, "NOAUTH") => {
            (Configuration, format!("redis at {server} asks for a password"))
        }
        _ if mentions(error, "WRONGPASS") => (
            Configuration,
            format!("redis at {server} does not accept the user name or the password"),
        ),
        _ if mentions(error, "DB index is out of range") || mentions(error, "invalid DB index") => {
            (
                Configuration,
                format!("redis at {server} has no database of this number (`databases`)"),
            )
        }
        _ if mentions(error, "SELECT is not allowed in cluster mode") => (
            Configuration,
            format!(
                "redis at {server} is a node of a cluster, which has no databases: use a redis-cluster:// address"
            ),
        ),
        _ if mentions(error, "cluster support disabled") => {
            (Configuration, format!("redis at {server} is no cluster: use a redis:// address"))
        }
        _ if mentions(error, "max number of clients reached") => {
            (NotApplied, format!("redis at {server} has no connection left (`maxclients`)"))
        }
        _ if mentions(error, "protected mode") => (
            Configuration,
            format!(
                "redis at {server} accepts connections of its own machine alone: set a password, or `protected-mode no`"
            ),
        ),
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
        _ if !sent && let Some(reason) = reach::refused_handshake(&error.to_string()) => {
            (Configuration, format!("redis at {server} {reason}"))
        }
        _ if !sent => {
            let text = format!("cannot connect to redis at {server}");
            (NotApplied, reach::because(text, not_reached(error, server)).into_owned())
        }
        _ if error.is_timeout() => {
            (Indeterminate, format!("redis at {server} did not answer in time"))
        }
        _ => {
            (Indeterminate, format!("the connection to redis at {server} broke before it answered"))
        }
    }
}

/// Why there is no connection.
fn not_reached(error: &RedisError, server: &str) -> Option<&'static str> {
    /// What TLS says where the server answered in the clear.
    const IN_THE_CLEAR: [&str; 3] = ["corrupt message", "InvalidContentType", "invalid TLS"];

    let text = error.to_string();
    if error.is_timeout() && server.starts_with("rediss") {
        Some("it does not answer in time, as where it does not speak TLS, which `rediss` asks for")
    } else if error.is_timeout() {
        Some("it does not answer in time")
    } else if let Some(reason) = reach::reason(&text) {
        Some(reason)
    } else if IN_THE_CLEAR.iter().any(|part| text.contains(part)) {
        Some("what listens there does not speak TLS, which `rediss` asks for")
    } else if error.kind() == ErrorKind::Parse {
        Some("what listens there does not speak the protocol of redis, or asks for TLS (`rediss`)")
    } else if error.is_connection_dropped() {
        Some(
            "it closed the connection, as where it asks for TLS (`rediss`) or has no connection left (`maxclients`)",
        )
    } else {
        None
    }
}

fn mentions(error: &RedisError, word: &str) -> bool {
    error.to_string().contains(word)
}
