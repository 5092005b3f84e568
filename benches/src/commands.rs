//! Commands that a client sends for a call, from the server's own count.
//!
//! `INFO commandstats` counts the commands inside scripts as well, under their own names. Our scripts use none that our client sends by
//! itself, and the other way round, so the names tell them apart: what the client sends is everything except what scripts use and what
//! managing connections takes.

use std::collections::BTreeMap;

use testkit::redis::RedisServer;

/// Used by our scripts, and by the measurement itself.
const NOT_SENT_FOR_CALLS: [&str; 11] = [
    "getrange",
    "time",
    "psetex",
    "spublish",
    "pttl",
    "publish",
    "info",
    "config|resetstat",
    "hello",
    "client|setinfo",
    "flushall",
];

/// How many commands, by name, a load of so many calls had the server count, per call.
pub(crate) fn per_call(server: &RedisServer, calls: usize, load: impl FnOnce()) -> f64 {
    server.command(&["CONFIG", "RESETSTAT"]);
    load();
    let counts: BTreeMap<String, u64> = server
        .info("commandstats")
        .into_iter()
        .filter_map(|(name, stats)| {
            let name = name.strip_prefix("cmdstat_")?.to_owned();
            let count = stats.strip_prefix("calls=")?.split(',').next()?.parse().ok()?;
            Some((name, count))
        })
        .collect();
    let sent = counts.iter().filter(|(name, _)| !NOT_SENT_FOR_CALLS.contains(&name.as_str()));
    sent.map(|(_, count)| *count as f64).sum::<f64>() / calls as f64
}
