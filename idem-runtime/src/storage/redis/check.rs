//! Checks the servers' version and settings, and the rights of the user.
//!
//! A version that lacks the commands is an error. Settings under which the server forgets records
//! are warnings: they may be meant, but they are better known.

use std::collections::HashMap;

use redis::{Cmd, Value, cmd};

use super::error::{CommandError, is_refusal};
use super::rights;
use super::transport::{Node, Transport};
use crate::storage::{StorageError, StorageErrorKind, StorageWarning};

const OLDEST: (u64, u64) = (7, 0);

/// The setting of the warning that waiters cannot be woken.
pub(super) const NO_WAKEUPS: &str = "acl";

/// Checks every primary, and that this user may do there what records need; each warning comes
/// once.
pub(super) async fn check(
    transport: &dyn Transport,
    server: &str,
    prefix: &str,
) -> Result<Vec<StorageWarning>, StorageError> {
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
        let replies = transport.send_all(&rights::pipeline(key)).await.map_err(explain)?;
        let rights = rights::judge(key, replies).map_err(|error| explain(error.into()))?;
        if !rights.publishes {
            warn(StorageWarning::new(
                NO_WAKEUPS,
                "the user may not publish to the channels of its keys: waiters poll instead of being woken; \
                 grant `SPUBLISH` and `SSUBSCRIBE` as docs/operating.md lists them",
            ));
        }
    }
    Ok(warnings)
}

async fn check_node(
    transport: &dyn Transport,
    node: &Node,
    server: &str,
) -> Result<Vec<StorageWarning>, StorageError> {
    let ask = async |cmd: &Cmd| match transport.send_to(node, cmd).await {
        Ok(reply) => match reply.extract_error() {
            Ok(reply) => Ok(Some(reply)),
            Err(error) if is_refusal(&error) => Ok(None),
            Err(error) => Err(CommandError::Sent(error).into_storage_error(server)),
        },
        Err(fault) => Err(fault.into_storage_error(server)),
    };
    let info = ask(&cmd("INFO")).await?.map(|reply| fields(&reply)).unwrap_or_default();
    let mut warnings = Vec::new();
    let mut warn = |setting, message| warnings.push(StorageWarning::new(setting, message));
    let unchecked =
        |what| format!("the server does not reveal its {what}, so it could not be checked");

    match info.get("redis_version") {
        Some(version) if is_too_old(version) => {
            return Err(StorageError::new(
                StorageErrorKind::Configuration,
                format!("redis at {server} has version {version}, and 7.0 or later is needed"),
            ));
        }
        Some(_) => {}
        None => warn("version", unchecked("version")),
    }

    match info.get("maxmemory_policy").map(String::as_str) {
        Some("noeviction") => {}
        Some(policy) => warn(
            "maxmemory-policy",
            format!(
                "maxmemory-policy is `{policy}`: a full server forgets records, and what they protect can run twice; \
                 set it to `noeviction`"
            ),
        ),
        None => warn("maxmemory-policy", unchecked("eviction")),
    }

    if info.get("aof_enabled").is_none_or(|enabled| enabled == "0") {
        let save = ask(cmd("CONFIG").arg("GET").arg("save")).await?;
        let save =
            save.and_then(|reply| redis::from_redis_value::<HashMap<String, String>>(reply).ok());
        match save.and_then(|mut settings| settings.remove("save")) {
            Some(points) if points.is_empty() => {
                let message = "neither append-only file nor snapshots are on: a restart forgets every record; set `appendonly yes`";
                warn("appendonly", message.to_owned());
            }
            Some(_) => {}
            None => warn("appendonly", unchecked("persistence")),
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
