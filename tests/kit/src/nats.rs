//! Real NATS servers with `JetStream`.
//!
//! Each server listens on a port of its own on the loopback interface and keeps its streams in a folder of its own. It is stopped, by its
//! process id, when its handle is dropped, and dies with the test process. No server that was there before is ever used or touched.
//!
//! The program is `nats-server`, or what the environment variable `IDEM_NATS_SERVER` names.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    net::{Ipv4Addr, TcpStream},
    path::{Path, PathBuf},
    process::Stdio,
    sync::OnceLock,
    time::Duration,
};

use crate::{
    process::{self, Process},
    program,
    reservation::Reservation,
    wait,
};

/// Names the server program for all tests, as a path or as a name to look for in `PATH`.
const VARIABLE: &str = "IDEM_NATS_SERVER";

/// How long a server may take to come up or to shut down, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; dropping it kills it and removes its folder.
///
/// ```no_run
/// let mut nats = testkit::nats::NatsServer::start();
/// println!("{}", nats.url());
/// nats.kill();
/// nats.start_again();
/// ```
#[derive(Debug)]
pub struct NatsServer {
    // Before the reservation: the process is gone before its port and folder are.
    process: Process,
    reservation: Reservation,
}

impl NatsServer {
    /// Starts a server whose streams survive a restart.
    ///
    /// # Panics
    ///
    /// When the program is missing or the server does not come up; the message holds what it logged.
    #[track_caller]
    pub fn start() -> Self {
        for _ in 0..3 {
            let reservation = Reservation::take();
            let mut server = Self { process: spawn(&reservation), reservation };
            match server.wait_until_ready() {
                Ok(()) => return server,
                // Something outside the testkit was faster.
                Err(log) if log.contains("address already in use") => {}
                Err(log) => panic!("{} did not start:\n{log}", server_binary().display()),
            }
        }
        panic!("three ports in a row were taken before the server could listen on them")
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.reservation.port())
    }

    /// The process id of the running or the last server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        fs::read_to_string(log_path(&self.reservation)).unwrap_or_default()
    }

    /// Kills it with SIGKILL, as a crash would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.process.kill();
    }

    /// Asks it to end with SIGTERM and waits until it has.
    #[track_caller]
    pub fn stop_gracefully(&mut self) {
        self.process.terminate(PATIENCE);
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop_gracefully`](Self::stop_gracefully), on the same port and with its streams.
    ///
    /// # Panics
    ///
    /// When it is running, or does not come up.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.try_wait().is_some(), "the server is still running");
        self.process = spawn(&self.reservation);
        if let Err(log) = self.wait_until_ready() {
            panic!("the server did not start again:\n{log}");
        }
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

    /// Waits until the server says that it is ready and greets a client; its log if it ended instead.
    #[track_caller]
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let mut ended = false;
        let what = format!("the server on port {} answers", self.reservation.port());
        wait::until(&what, PATIENCE, || {
            ended = self.process.try_wait().is_some();
            ended || (self.log().contains("Server is ready") && self.greets())
        });
        if ended { Err(self.log()) } else { Ok(()) }
    }

    fn greets(&self) -> bool {
        let address = (Ipv4Addr::LOCALHOST, self.reservation.port());
        let Ok(connection) = TcpStream::connect(address) else { return false };
        let mut greeting = String::new();
        connection.set_read_timeout(Some(PATIENCE)).is_ok()
            && BufReader::new(connection).read_line(&mut greeting).is_ok()
            && greeting.contains("\"jetstream\":true")
    }
}

/// The server program: `IDEM_NATS_SERVER` if it is set, else `nats-server` from `PATH` or where Debian has it, else the one that `cargo xtask
/// test` fetched.
///
/// # Panics
///
/// When there is none; the message says what to install.
#[track_caller]
pub fn server_binary() -> PathBuf {
    let found = program::named_by(VARIABLE)
        .or_else(|| program::find(Path::new("nats-server")))
        .or_else(|| program::find(Path::new("/usr/sbin/nats-server")))
        .or_else(|| program::fetched("nats/nats-server"));
    found.unwrap_or_else(|| {
        panic!(
            "there is no nats-server: run `cargo xtask test --only servers`, or install it, or set {VARIABLE}"
        )
    })
}

/// A server for all tests of this process, started when the first one asks. They keep out of each other's way by the names of their streams
/// and subjects.
#[track_caller]
pub fn shared() -> &'static NatsServer {
    static SHARED: OnceLock<NatsServer> = OnceLock::new();
    SHARED.get_or_init(NatsServer::start)
}

#[track_caller]
fn spawn(reservation: &Reservation) -> Process {
    let dir = reservation.dir();
    let mut command = process::command(server_binary());
    command.args(["--addr", "127.0.0.1", "--port"]).arg(reservation.port().to_string());
    command.arg("--jetstream").arg("--store_dir").arg(dir.join("streams")).current_dir(dir);
    // A new one for each start: what the last one said is not to be taken for this one's.
    let path = log_path(reservation);
    let log = File::create(&path);
    let log = log.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    let output = log.try_clone().expect("an open file can be shared");
    command.stdin(Stdio::null()).stdout(output).stderr(log);
    Process::spawn(command)
}

fn log_path(reservation: &Reservation) -> PathBuf {
    reservation.dir().join("server.log")
}
