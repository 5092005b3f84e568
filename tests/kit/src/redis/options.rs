//! How a server is started.

use std::{
    fmt::Write as _,
    fs, io,
    panic::resume_unwind,
    path::{Path, PathBuf},
    thread::{self, ScopedJoinHandle},
};

use super::{RedisServer, server_binary};
use crate::program;

use crate::tls::{Authority, Identity};

/// Options of a [`RedisServer`], from [`RedisServer::builder`].
///
/// Unless said otherwise it keeps nothing on disk.
#[derive(Debug, Clone)]
pub struct RedisServerBuilder {
    binary: Option<PathBuf>,
    config: Vec<(String, String)>,
    password: Option<String>,
    tls: Option<Tls>,
    kind: Kind,
}

/// What a server needs to speak TLS.
#[derive(Debug, Clone)]
struct Tls {
    /// The authority's certificate.
    authority: String,
    identity: Identity,
}

/// What a server is, beside being configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Data,
    /// Listens on a second port for the other nodes.
    ClusterNode,
    /// Has another configuration and holds no data.
    Sentinel,
}

/// Where a server listens.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ports {
    pub(super) port: u16,
    /// For the other nodes of a cluster.
    pub(super) bus: Option<u16>,
    pub(super) tls: Option<u16>,
}

impl RedisServerBuilder {
    pub(super) fn new() -> Self {
        Self { binary: None, config: Vec::new(), password: None, tls: None, kind: Kind::Data }
    }

    pub(super) fn of_kind(self, kind: Kind) -> Self {
        Self { kind, ..self }
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
        let quoted = quote(password);
        // The second is for servers that follow this one or that it follows.
        self.config("requirepass", &quoted).config("masterauth", &quoted)
    }

    /// Speaks TLS on a second port, with a certificate from this authority, and with the other servers of a setup alone. Clients need no
    /// certificate unless the configuration has `tls-auth-clients yes`.
    ///
    /// A server program that was built without TLS does not start so.
    #[must_use]
    pub fn tls(mut self, authority: &Authority) -> Self {
        let identity = authority.issue();
        self.tls = Some(Tls { authority: authority.certificate().to_owned(), identity });
        self
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

    /// Starts servers side by side.
    #[track_caller]
    pub(super) fn start_many(&self, count: usize) -> Vec<RedisServer> {
        thread::scope(|scope| {
            let starts: Vec<_> =
                (0..count).map(|_| scope.spawn(|| RedisServer::start_with(self))).collect();
            let ends = starts.into_iter().map(ScopedJoinHandle::join);
            ends.collect::<Result<_, _>>().unwrap_or_else(|panic| resume_unwind(panic))
        })
    }

    #[track_caller]
    pub(super) fn program(&self) -> PathBuf {
        self.binary.as_ref().map_or_else(server_binary, |program| {
            program::find(program)
                .unwrap_or_else(|| panic!("there is no program {}", program.display()))
        })
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn has_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// Writes the files that the configuration names.
    pub(super) fn write_files(&self, dir: &Path) -> io::Result<()> {
        let Some(Tls { authority, identity }) = &self.tls else { return Ok(()) };
        fs::write(dir.join("authority.pem"), authority)?;
        fs::write(dir.join("certificate.pem"), &identity.certificate)?;
        fs::write(dir.join("key.pem"), &identity.key)
    }

    pub(super) fn password_text(&self) -> Option<&str> {
        self.password.as_deref()
    }

    /// The configuration file. It is not on the command line, because the server rewrites it when its role changes.
    pub(super) fn config_file(&self, ports: Ports, dir: &Path) -> String {
        let mut own = vec![
            ("bind", "127.0.0.1".to_owned()),
            ("port", ports.port.to_string()),
            ("dir", quote(&dir.to_string_lossy())),
            ("logfile", "server.log".to_owned()),
        ];
        if self.kind != Kind::Sentinel {
            own.extend([
                ("unixsocket", quote(&dir.join("redis.sock").to_string_lossy())),
                ("save", quote("")),
                ("appendonly", "no".to_owned()),
                // Tests wait for replicas, so those are sent the data at once.
                ("repl-diskless-sync-delay", "0".to_owned()),
            ]);
        }
        if let Some(bus) = ports.bus {
            own.push(("cluster-enabled", "yes".to_owned()));
            own.push(("cluster-port", bus.to_string()));
        }
        if let Some(tls) = ports.tls {
            own.push(("tls-port", tls.to_string()));
            for (name, file) in [
                ("tls-ca-cert-file", "authority.pem"),
                ("tls-cert-file", "certificate.pem"),
                ("tls-key-file", "key.pem"),
            ] {
                own.push((name, quote(&dir.join(file).to_string_lossy())));
            }
            own.push(("tls-auth-clients", "no".to_owned()));
            own.push(("tls-replication", "yes".to_owned()));
            if ports.bus.is_some() {
                own.push(("tls-cluster", "yes".to_owned()));
            }
        }
        let own = own.iter().map(|(name, value)| (*name, value));
        let given = self.config.iter().map(|(name, value)| (name.as_str(), value));
        own.chain(given).fold(String::new(), |mut file, (name, value)| {
            // Writing to a string cannot fail.
            let _ = writeln!(file, "{name} {value}");
            file
        })
    }
}

/// A value of the configuration file that is taken as it is.
pub(super) fn quote(value: &str) -> String {
    format!("\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
