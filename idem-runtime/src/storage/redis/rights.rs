//! Checks the rights of the server's user before the first body depends on them.
//!
//! A claim of a free key is a `SET`. A user with the right to that, but not to the scripts or their
//! commands, would run bodies that lose their leases and leave no result. So each new connection
//! runs a trial on a probe key: a claim's command, the two ways to call a script, and a script that
//! tries every command of the others and lists the refused ones. Connections after a failover are
//! tried too, since servers do not share their users' rights. A cluster's client connects by
//! itself; there each primary is tried when the storage is made.
//!
//! Without the right to publish, waiters poll, which is slower and loses nothing.

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};

use super::error::{LACKS_RIGHTS, is_refusal};
use super::script::Lua;
use crate::record::OwnerId;

/// The optional rights of the user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rights {
    /// Waiters can be woken.
    pub(super) publishes: bool,
}

/// The part after the prefix in the keys that are tried.
const PROBE: &str = "probe:";

/// A key that no record has.
pub(super) fn key(prefix: &str, tag: &str) -> String {
    format!("{prefix}{PROBE}{{{tag}}}:{}", OwnerId::random())
}

/// The commands that are tried on `key`. The `SET` needs the same rights as a claim's and changes
/// nothing. Some servers repeat arguments in their errors, so these are plain text.
fn trials(key: &str) -> [(&'static str, Cmd); 3] {
    let mut set = Cmd::new();
    set.arg("SET").arg(key).arg("probe").arg("XX").arg("GET").arg("PX").arg(1);
    [
        ("SET", set),
        ("EVAL", Lua::Probe.by_text(key, &[])),
        ("EVALSHA", Lua::Probe.by_hash(key, &[])),
    ]
}

/// The trial as one pipeline.
pub(super) fn pipeline(key: &str) -> Pipeline {
    let mut pipeline = Pipeline::new();
    for (_, cmd) in trials(key) {
        pipeline.add_command(cmd);
    }
    pipeline
}

/// What the answers to a [`pipeline`] mean. A server that refuses for another reason than rights,
/// such as a replica, says nothing of them; it refuses claims as well.
pub(super) fn judge(key: &str, replies: Vec<Value>) -> RedisResult<Rights> {
    let mut refused = Vec::new();
    for ((command, _), reply) in trials("").into_iter().zip(replies) {
        match reply.extract_error() {
            Ok(Value::Array(names)) => refused.extend(names.iter().filter_map(text)),
            Err(error) if is_about_keys(&error) => {
                return Err(lacks(&format!("use {}", keys(key))));
            }
            Err(error) if is_refusal(&error) => refused.push(command.to_owned()),
            // It loads its data, runs a script, or waits for its primary: what it refuses for that
            // it may allow later.
            Err(error) if is_passing(&error) => return Err(error),
            Ok(_) | Err(_) => {}
        }
    }
    let publishes = !refused.iter().any(|name| name == "SPUBLISH");
    refused.retain(|name| name != "SPUBLISH");
    refused.dedup();
    if refused.is_empty() {
        return Ok(Rights { publishes });
    }
    Err(lacks(&format!("run {}", refused.join(", "))))
}

fn lacks(what: &str) -> RedisError {
    redis::make_extension_error(LACKS_RIGHTS.to_owned(), Some(what.to_owned()))
}

/// The keys that this one is tried for, as a user of the server knows them.
fn keys(key: &str) -> String {
    let prefix = key.split_once(PROBE).map_or("", |(prefix, _)| prefix);
    format!("the keys {prefix}* and {prefix}{PROBE}*")
}

/// Whether a user may run a command, but not on these keys.
fn is_about_keys(error: &RedisError) -> bool {
    error.kind() == ServerErrorKind::NoPerm.into()
        && error.detail().is_some_and(|detail| detail.contains(" key"))
}

/// Whether the server will not answer at all for a moment.
fn is_passing(error: &RedisError) -> bool {
    use ServerErrorKind::{BusyLoading, ClusterDown, MasterDown, TryAgain};

    match error.kind() {
        ErrorKind::Server(BusyLoading | ClusterDown | MasterDown | TryAgain) => true,
        _ => error.code() == Some("BUSY"),
    }
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(text) => String::from_utf8(text.clone()).ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The commands that a script's text runs: `call('NAME'`, `pcall("NAME"`, `try('NAME'`.
    fn commands(text: &str) -> BTreeSet<String> {
        let code = text.lines().map(|line| line.split("--").next().unwrap_or_default());
        let code: String = code.collect::<Vec<_>>().join("\n");
        let calls = ["call(", "try("].iter().flat_map(|call| code.split(call).skip(1));
        let quoted =
            calls.filter_map(|rest| rest.strip_prefix(['\'', '"'])?.split(['\'', '"']).next());
        quoted.map(str::to_owned).collect()
    }

    #[test]
    fn every_command_of_every_script_is_tried() {
        let used = Lua::ALL.iter().filter(|script| !matches!(script, Lua::Probe));
        let used: BTreeSet<_> = used.flat_map(|script| commands(script.text())).collect();
        assert!(used.contains("PSETEX") && used.contains("TIME"), "{used:?}");
        assert_eq!(commands(Lua::Probe.text()), used);
    }

    #[test]
    fn a_server_that_does_not_answer_yet_has_said_nothing_of_rights() {
        for text in ["-LOADING Redis is loading\r\n", "-BUSY running a script\r\n"] {
            let refused = || redis::parse_redis_value(text.as_bytes()).unwrap();
            let error = judge("idem:probe:1", vec![refused(), refused()]).unwrap_err();
            assert_ne!(error.code(), Some(LACKS_RIGHTS), "{error}");
        }
    }

    #[test]
    fn what_is_refused_is_named_and_only_publishing_can_be_done_without() {
        let refused = |names: &[&str]| {
            Value::Array(
                names.iter().map(|name| Value::BulkString(name.as_bytes().into())).collect(),
            )
        };
        let judged = |names: &[&str]| {
            judge("idem:probe:1", vec![Value::Nil, refused(names), refused(names)])
        };
        assert_eq!(judged(&[]).unwrap(), Rights { publishes: true });
        assert_eq!(judged(&["SPUBLISH"]).unwrap(), Rights { publishes: false });
        let error = judged(&["TIME", "SPUBLISH"]).unwrap_err();
        assert_eq!((error.code(), error.detail()), (Some(LACKS_RIGHTS), Some("run TIME")));
    }
}
