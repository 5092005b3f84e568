//! How a server is started.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

use super::{RedisServer, binary, server_binary};

/// Options of a [`RedisServer`], from [`RedisServer::builder`].
///
/// Unless said otherwise it keeps nothing on disk.
#[derive(Debug, Clone)]
pub struct RedisServerBuilder {
    binary: Option<PathBuf>,
    config: Vec<(String, String)>,
    password: Option<String>,
    sentinel: bool,
}

impl RedisServerBuilder {
    pub(super) fn new() -> Self {
        Self { binary: None, config: Vec::new(), password: None, sentinel: false }
    }

    /// The options of a Sentinel, which has a configuration of its own.
    pub(super) fn sentinel() -> Self {
        Self { sentinel: true, ..Self::new() }
    }

    /// Runs this program instead of [`server_binary`].
    #[must_use]
    pub fn binary(mut self, program: impl Into<PathBuf>) -> Self {
        self.binary = Some(program.into());
        self
    }

    /// A line of the configuration file, such as `("maxmemory-policy", "allkeys-lru")`. A later line for the same name wins.
    #[must_use]
    pub fn config(mut self, name: &str, value: &str) -> Self {
        self.config.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes an append-only file; `fsync` is `always`, `everysec` or `no`.
    #[must_use]
    pub fn append_only(self, fsync: &str) -> Self {
        self.config("appendonly", "yes").config("appendfsync", fsync)
    }

    /// Refuses writes beyond this much memory, such as `2mb`, unless another eviction policy is set.
    #[must_use]
    pub fn max_memory(self, limit: &str) -> Self {
        self.config("maxmemory", limit)
    }

    /// Asks clients for a password.
    #[must_use]
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        let quoted = password.replace('\\', "\\\\").replace('"', "\\\"");
        // The second is for servers that follow this one or that it follows.
        self.config("requirepass", &format!("\"{quoted}\""))
            .config("masterauth", &format!("\"{quoted}\""))
    }

    /// Starts the server and waits until it answers.
    ///
    /// # Panics
    ///
    /// When the program is missing or the server does not come up; the message holds what it logged.
    #[track_caller]
    pub fn start(self) -> RedisServer {
        RedisServer::start_with(&self)
    }

    #[track_caller]
    pub(super) fn program(&self) -> PathBuf {
        self.binary.as_ref().map_or_else(server_binary, |program| {
            binary::find(program)
                .unwrap_or_else(|| panic!("there is no program {}", program.display()))
        })
    }

    pub(super) fn is_sentinel(&self) -> bool {
        self.sentinel
    }

    pub(super) fn password_text(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The configuration file. It is not on the command line, because the server rewrites it when its role changes.
    pub(super) fn config_file(&self, port: u16, dir: &Path) -> String {
        let own = [
            ("bind", "127.0.0.1".to_owned()),
            ("port", port.to_string()),
            ("dir", format!("\"{}\"", dir.display())),
            ("logfile", "server.log".to_owned()),
        ];
        // A Sentinel does not know these.
        let data = [
            ("unixsocket", format!("\"{}\"", dir.join("redis.sock").display())),
            ("save", "\"\"".to_owned()),
            ("appendonly", "no".to_owned()),
            // Tests wait for replicas, so those are sent the data at once.
            ("repl-diskless-sync-delay", "0".to_owned()),
        ];
        let data = data.iter().filter(|_| !self.sentinel);
        let given = self.config.iter().map(|(name, value)| (name.as_str(), value));
        let lines = own.iter().chain(data).map(|(name, value)| (*name, value)).chain(given);
        lines.fold(String::new(), |mut file, (name, value)| {
            // Writing to a string cannot fail.
            let _ = writeln!(file, "{name} {value}");
            file
        })
    }
}
