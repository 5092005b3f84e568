//! What is looked at before a server is trusted with records.
//!
//! A version that lacks the commands is an error. Settings under which the server forgets records
//! are warnings: they may be meant, but they are better known.

use std::collections::HashMap;
use std::fmt;

use redis::{Cmd, Value, cmd};

use super::error::CommandError;
use super::rights::{self, Rights};
use super::transport::{Node, Transport};
use crate::storage::{StorageError, StorageErrorKind, StorageWarning};

/// A setting of the server under which records, and with them the protection against running twice,
/// can be lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Warning {
    /// When its memory is full the server evicts keys, records among them, instead of refusing
    /// writes.
    Eviction {
        /// Its `maxmemory-policy`.
        policy: String,
    },
    /// Nothing is saved to disk: a restart forgets every record.
    NoPersistence,
    /// The user may not publish, or the server cannot: waiters poll, which costs commands and time.
    NoWakeups,
    /// The server did not let us look.
    Unchecked {
        /// What could not be looked at: `"version"`, `"eviction"`, `"persistence"`.
        setting: &'static str,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Eviction { policy } => write!(
                f,
                "maxmemory-policy is `{policy}`: a full server forgets records, and what they protect can run twice; \
                 set it to `noeviction`"
            ),
            Self::NoPersistence => f.write_str(
                "neither append-only file nor snapshots are on: a restart forgets every record; set `appendonly yes`",
            ),
            Self::NoWakeups => f.write_str(
                "the user may not publish to the channels of its keys: waiters poll instead of being woken; \
                 grant `SPUBLISH` and `SSUBSCRIBE` as docs/operating.md lists them",
            ),
            Self::Unchecked { setting } => {
                write!(f, "the server does not reveal its {setting}, so it could not be checked")
            }
        }
    }
}

impl From<&Warning> for StorageWarning {
    fn from(warning: &Warning) -> Self {
        let setting = match warning {
            Warning::Eviction { .. } | Warning::Unchecked { setting: "eviction" } => {
                "maxmemory-policy"
            }
            Warning::NoPersistence | Warning::Unchecked { setting: "persistence" } => "appendonly",
            Warning::NoWakeups => "acl",
            Warning::Unchecked { setting } => setting,
        };
        Self::new(setting, warning.to_string())
    }
}

const OLDEST: (u64, u64) = (7, 0);

/// Checks every primary, and that this user may do there what records need; each warning comes
/// once.
pub(super) async fn check(
    transport: &dyn Transport,
    server: &str,
    prefix: &str,
) -> Result<Vec<Warning>, StorageError> {
    let explain = |fault: CommandError| fault.into_storage_error(server);
    let mut warnings = Vec::new();
    let mut warn = |warning| {
        if !warnings.contains(&warning) {
            warnings.push(warning);
        }
    };
    for node in &transport.primaries().await.map_err(explain)? {
        check_node(transport, node, server).await?.into_iter().for_each(&mut warn);
    }
    for key in &transport.probes(prefix).await.map_err(explain)? {
        if !rights(transport, key).await.map_err(explain)?.publishes {
            warn(Warning::NoWakeups);
        }
    }
    Ok(warnings)
}

/// Tries the rights on one primary of those behind `transport`: the one that has `key`.
async fn rights(transport: &dyn Transport, key: &str) -> Result<Rights, CommandError> {
    Ok(rights::judge(key, transport.send_all(&rights::pipeline(key)).await?)?)
}

async fn check_node(
    transport: &dyn Transport,
    node: &Node,
    server: &str,
) -> Result<Vec<Warning>, StorageError> {
    let ask = async |cmd: &Cmd| match transport.send_to(node, cmd).await {
        Ok(reply) => match reply.extract_error() {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if CommandError::Sent(error.clone()).is_refusal() => Ok(None),
            Err(error) => Err(CommandError::Sent(error).into_storage_error(server)),
        },
        Err(fault) => Err(fault.into_storage_error(server)),
    };
    let info = ask(&cmd("INFO")).await?.map(|reply| fields(&reply)).unwrap_or_default();
    let mut warnings = Vec::new();

    match info.get("redis_version") {
        Some(version) if is_too_old(version) => {
            return Err(StorageError::new(
                StorageErrorKind::Configuration,
                format!("redis at {server} has version {version}, and 7.0 or later is needed"),
            ));
        }
        Some(_) => {}
        None => warnings.push(Warning::Unchecked { setting: "version" }),
    }

    match info.get("maxmemory_policy").map(String::as_str) {
        Some("noeviction") => {}
        Some(policy) => warnings.push(Warning::Eviction { policy: policy.to_owned() }),
        None => warnings.push(Warning::Unchecked { setting: "eviction" }),
    }

    if info.get("aof_enabled").is_none_or(|enabled| enabled == "0") {
        let save = ask(cmd("CONFIG").arg("GET").arg("save")).await?;
        let save =
            save.and_then(|reply| redis::from_redis_value::<HashMap<String, String>>(reply).ok());
        match save.and_then(|mut settings| settings.remove("save")) {
            Some(points) if points.is_empty() => warnings.push(Warning::NoPersistence),
            Some(_) => {}
            None => warnings.push(Warning::Unchecked { setting: "persistence" }),
        }
    }
    Ok(warnings)
}

/// The fields of `INFO`.
fn fields(info: &Value) -> HashMap<String, String> {
    let text = match info {
        Value::BulkString(text) => String::from_utf8_lossy(text).into_owned(),
        Value::VerbatimString { text, .. } => text.clone(),
        _ => String::new(),
    };
    let pairs = text.lines().filter_map(|line| line.split_once(':'));
    pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// Whether a version is known to be older than what is needed.
fn is_too_old(version: &str) -> bool {
    let mut numbers = version.split('.').map(str::parse::<u64>);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < OLDEST,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_too_old;

    #[test]
    fn versions_from_seven_on_are_new_enough() {
        for version in ["7.0.0", "7.0.15", "7.2.4", "8.0.1", "10.0", "unstable", ""] {
            assert!(!is_too_old(version), "{version}");
        }
        for version in ["6.2.14", "6.9", "5.0.7", "2.8.19"] {
            assert!(is_too_old(version), "{version}");
        }
    }
}
