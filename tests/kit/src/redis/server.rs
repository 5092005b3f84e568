//! One server.

use std::{collections::HashMap, fs, path::PathBuf, time::Duration};

use redis::{FromRedisValue, RedisResult, Value};
use url::Url;

use super::{
    options::{Kind, Ports, RedisServerBuilder},
    query::{query, text_of},
};
use crate::{
    process::{self, Process},
    reservation::Reservation,
    wait,
};

/// How long a server may take to come up or to shut down, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A running server; dropping it kills it and removes its folder.
///
/// ```no_run
/// let mut redis = testkit::redis::RedisServer::builder().append_only("always").start();
/// redis.command(&["SET", "greeting", "hello"]);
/// redis.kill();
/// redis.start_again();
/// assert_eq!(redis.command(&["GET", "greeting"]), "hello");
/// ```
#[derive(Debug)]
pub struct RedisServer {
    // Before the reservation: the process is gone before its port and folder are.
    process: Process,
    reservation: Reservation,
    bus: Option<Reservation>,
    tls: Option<Reservation>,
    options: RedisServerBuilder,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    #[track_caller]
    pub fn start() -> Self {
        Self::builder().start()
    }

    /// Options of a server.
    pub fn builder() -> RedisServerBuilder {
        RedisServerBuilder::new()
    }

    #[track_caller]
    pub(super) fn start_with(options: &RedisServerBuilder) -> Self {
        for _ in 0..3 {
            let reservation = Reservation::take();
            let bus = (options.kind() == Kind::ClusterNode).then(Reservation::take);
            let tls = options.has_tls().then(Reservation::take);
            let ports = Ports {
                port: reservation.port(),
                bus: bus.as_ref().map(Reservation::port),
                tls: tls.as_ref().map(Reservation::port),
            };
            let dir = reservation.dir();
            fs::write(config_path(&reservation), options.config_file(ports, dir))
                .and_then(|()| options.write_files(dir))
                .unwrap_or_else(|error| panic!("cannot write to {}: {error}", dir.display()));
            let process = spawn(options, &reservation);
            let mut server = Self { process, reservation, bus, tls, options: options.clone() };
            match server.wait_until_ready() {
                Ok(()) => return server,
                // Something outside the testkit was faster.
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("{} did not start:\n{log}", options.program().display()),
            }
        }
        panic!("three ports in a row were taken before the server could listen on them")
    }

    /// Its address over TCP, with the password if it asks for one.
    pub fn url(&self) -> String {
        let mut url = Url::parse("redis://127.0.0.1/").expect("this is a URL");
        let _ = url.set_port(Some(self.port()));
        let _ = url.set_password(self.password());
        url.into()
    }

    /// Its address over its unix socket.
    pub fn unix_url(&self) -> String {
        let mut url = Url::parse("redis+unix:///").expect("this is a URL");
        url.set_path(&self.reservation.dir().join("redis.sock").to_string_lossy());
        if let Some(password) = self.password() {
            url.query_pairs_mut().append_pair("pass", password);
        }
        url.into()
    }

    /// Its address over TLS.
    ///
    /// # Panics
    ///
    /// When it was started without [`tls`](RedisServerBuilder::tls).
    #[track_caller]
    pub fn tls_url(&self) -> String {
        let port = self.tls.as_ref().expect("the server was started with TLS").port();
        let mut url = Url::parse("rediss://127.0.0.1/").expect("this is a URL");
        let _ = url.set_port(Some(port));
        let _ = url.set_password(self.password());
        url.into()
    }

    /// The port at which other servers reach it.
    pub(super) fn peer_port(&self) -> u16 {
        self.tls.as_ref().map_or_else(|| self.port(), Reservation::port)
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.reservation.port()
    }

    /// The port on which it talks to the other nodes of a cluster.
    pub(super) fn bus_port(&self) -> u16 {
        self.bus.as_ref().expect("a node of a cluster").port()
    }

    pub(super) fn password(&self) -> Option<&str> {
        self.options.password_text()
    }

    /// The process id of the running or the last server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        let log = fs::read(self.reservation.dir().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Sends a command and gives the reply as text, the values of a list one per line.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached or answers with an error.
    #[track_caller]
    pub fn command(&self, command: &[&str]) -> String {
        text_of(&self.query::<Value>(command))
    }

    /// Sends a command and gives the reply as any type that the `redis` crate converts it to.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached, answers with an error, or with something else.
    #[track_caller]
    pub fn query<T: FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_query(command)
            .unwrap_or_else(|error| panic!("{command:?} to port {}: {error}", self.port()))
    }

    /// Like [`query`](Self::query), for when the answer may be an error.
    pub fn try_query<T: FromRedisValue>(&self, command: &[&str]) -> RedisResult<T> {
        query(&self.url(), command)
    }

    /// The fields of a section of `INFO`, or nothing while the server does not answer.
    pub fn info(&self, section: &str) -> HashMap<String, String> {
        let info: String = self.try_query(&["INFO", section]).unwrap_or_default();
        let fields = info.lines().filter_map(|line| line.split_once(':'));
        fields.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    }

    /// `master` or `slave`, or nothing while it does not answer.
    pub fn role(&self) -> String {
        self.info("replication").remove("role").unwrap_or_default()
    }

    /// Waits until every replica has all that was written so far. (`WAIT` knows only of writes on its own connection.)
    #[track_caller]
    pub fn wait_until_replicated(&self) {
        let offset_in = |text: &String| text.parse::<u64>().ok();
        let written = self.info("replication").get("master_repl_offset").and_then(offset_in);
        let written = written.expect("a server tells how much was written");
        wait::until("the replicas have everything", PATIENCE, || {
            let replication = self.info("replication");
            let mut replicas = replication.iter().filter(|(name, _)| is_replica(name));
            let has_all = |state: &str| {
                let offset = state.split(',').find_map(|field| field.strip_prefix("offset="));
                offset
                    .and_then(|offset| offset.parse().ok())
                    .is_some_and(|offset: u64| offset >= written)
            };
            replicas.all(|(_, state)| has_all(state))
        });
    }

    /// Kills it with SIGKILL, as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end with SIGTERM, so that it saves what it is set to save, and waits until it has.
    #[track_caller]
    pub fn stop_gracefully(&mut self) {
        self.process.terminate(PATIENCE);
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop_gracefully`](Self::stop_gracefully), on the same port and with the data that is on disk.
    ///
    /// # Panics
    ///
    /// When it is running, or does not come up.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.try_wait().is_some(), "the server is still running");
        self.process = spawn(&self.options, &self.reservation);
        if let Err(log) = self.wait_until_ready() {
            panic!("the server did not start again:\n{log}");
        }
    }

    /// Ends it gracefully and starts it on the same port. What comes back is what it keeps on disk: nothing, unless it was asked to.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop_gracefully();
        self.start_again();
    }

    /// Kills it, throws its data away and starts it on the same port.
    #[track_caller]
    pub fn restart_empty(&mut self) {
        self.kill();
        for name in ["dump.rdb", "appendonlydir"] {
            let path = self.reservation.dir().join(name);
            // One of them is a folder and either may be missing; whether it worked is asserted below.
            let _ = fs::remove_file(&path);
            let _ = fs::remove_dir_all(&path);
        }
        self.start_again();
        assert_eq!(self.command(&["DBSIZE"]), "0", "the server found data to load");
    }

    /// Stops it with SIGSTOP: connections stay open and nothing is answered.
    #[track_caller]
    pub fn pause(&self) {
        self.process.pause();
    }

    /// Continues it after [`pause`](Self::pause).
    #[track_caller]
    pub fn resume(&self) {
        self.process.resume();
    }

    /// Waits until the process that was started answers, and not merely something on its port; its log if it ended instead.
    #[track_caller]
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let pid = self.pid().to_string();
        let mut ended = false;
        let what = format!("the server on port {} answers", self.port());
        wait::until(&what, PATIENCE, || {
            ended = self.process.try_wait().is_some();
            let info = if ended { HashMap::new() } else { self.info("default") };
            // It answers this while it is still loading its data. A Sentinel has none to load.
            let loaded = info.get("loading").is_none_or(|loading| loading == "0");
            ended || (info.get("process_id") == Some(&pid) && loaded)
        });
        if ended { Err(self.log()) } else { Ok(()) }
    }
}

#[track_caller]
fn spawn(options: &RedisServerBuilder, reservation: &Reservation) -> Process {
    let log = reservation.dir().join("server.log");
    let mut command = process::command(options.program());
    command.arg(config_path(reservation)).current_dir(reservation.dir());
    if options.kind() == Kind::Sentinel {
        command.arg("--sentinel");
    }
    // What it says before it has opened its log, such as a mistake in the configuration, goes to the same file.
    let output = fs::File::options().create(true).append(true).open(&log);
    let output = output.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
    let errors = output.try_clone().expect("an open file can be shared");
    command.stdin(std::process::Stdio::null()).stdout(output).stderr(errors);
    Process::spawn(command)
}

/// Whether a field of `INFO replication` describes a replica: `slave0`, `slave1`, …
fn is_replica(field: &str) -> bool {
    field.strip_prefix("slave").is_some_and(|number| number.parse::<usize>().is_ok())
}

fn config_path(reservation: &Reservation) -> PathBuf {
    reservation.dir().join("redis.conf")
}
