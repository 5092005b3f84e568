//! Commands that a client sends for a call, and what the call costs the server, from the server's own counts.
//!
//! `INFO commandstats` counts the commands inside scripts as well, under their own names. Our scripts use none that our client sends by
//! itself, and the other way round, so the names tell them apart: what the client sends is everything except what scripts use and what
//! managing connections takes.

use std::collections::BTreeMap;

use testkit::redis::RedisServer;

/// Used by our scripts, and by the measurement itself.
const NOT_SENT_FOR_CALLS: [&str; 13] = [
    "get",
    "getrange",
    "setrange",
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

/// What calls cost the server.
pub(crate) struct PerCall {
    /// Commands that the client sent.
    pub(crate) commands: f64,
    /// Microseconds on the server's processor.
    pub(crate) cpu_us: f64,
}

/// What a load of so many calls costs the server.
pub(crate) fn per_call(server: &RedisServer, calls: usize, load: impl FnOnce()) -> PerCall {
    server.command(&["CONFIG", "RESETSTAT"]);
    let before = cpu_seconds(server);
    load();
    let cpu_us = (cpu_seconds(server) - before) * 1e6 / calls as f64;
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
    PerCall { commands: sent.map(|(_, count)| *count as f64).sum::<f64>() / calls as f64, cpu_us }
}

fn cpu_seconds(server: &RedisServer) -> f64 {
    let info = server.info("cpu");
    let used = ["used_cpu_user", "used_cpu_sys"].map(|field| info.get(field)?.parse::<f64>().ok());
    used.into_iter().flatten().sum()
}
