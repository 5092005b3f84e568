//! A real `PgBouncer`.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use url::Url;

use super::{account, query::query, server::SqlServer};
use crate::{
    process::{self, Process},
    program,
    reservation::Reservation,
    wait,
};

/// Names the program, as a path or as a name to look for in `PATH`.
const VARIABLE: &str = "IDEM_PGBOUNCER";

/// How long it may take to come up, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// `PgBouncer` before a Postgres server, handing a server connection to one transaction at a time; dropping it ends it.
///
/// The program is `pgbouncer`, or what the environment variable `IDEM_PGBOUNCER` names.
#[derive(Debug)]
pub struct PgBouncer {
    // Before the reservation: the process is gone before its port and folder are.
    process: Process,
    reservation: Reservation,
    url: String,
}

impl PgBouncer {
    /// Starts one that has at most so many connections to each of the server's databases.
    ///
    /// # Panics
    ///
    /// When the program is missing or does not come up; the message holds what it logged.
    #[track_caller]
    pub fn before(server: &SqlServer, connections: u32) -> Self {
        Self::with_settings(server, connections, "")
    }

    /// Likewise, with these lines of its configuration instead of those that it would have.
    ///
    /// # Panics
    ///
    /// Likewise.
    #[track_caller]
    pub fn with_settings(server: &SqlServer, connections: u32, lines: &str) -> Self {
        for _ in 0..3 {
            let reservation = Reservation::take();
            let mut url = Url::parse(&server.url()).expect("the server's address is a URL");
            // Of two lines for one setting the later wins.
            let settings = settings(&url, reservation.port(), connections) + lines;
            let _ = url.set_port(Some(reservation.port()));
            let process = spawn(&reservation, &settings);
            let mut bouncer = Self { process, reservation, url: url.into() };
            match bouncer.wait_until_ready() {
                Ok(()) => return bouncer,
                // Something outside the testkit was faster.
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => panic!("{} did not start:\n{log}", program().display()),
            }
        }
        panic!("three ports in a row were taken before pgbouncer could listen on them")
    }

    /// The address of the server's first database through it.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.reservation.port()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        let log = fs::read(log_path(&self.reservation)).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Waits until it hands out connections to the server; its log if it ended instead.
    #[track_caller]
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let mut ended = false;
        let what = format!("pgbouncer on port {} answers", self.reservation.port());
        wait::until(&what, PATIENCE, || {
            ended = self.process.try_wait().is_some();
            // One that asks for TLS, which this client does not have, is there when it says so.
            let answer = query(&self.url, "SELECT 1").map_err(|error| error.to_string());
            ended || answer.map_or_else(|error| error.contains("SSL required"), |_| true)
        });
        if ended { Err(self.log()) } else { Ok(()) }
    }
}

fn settings(server: &Url, port: u16, connections: u32) -> String {
    format!(
        "[databases]\n\
         * = host=127.0.0.1 port={}\n\
         [pgbouncer]\n\
         listen_addr = 127.0.0.1\n\
         listen_port = {port}\n\
         unix_socket_dir =\n\
         auth_type = scram-sha-256\n\
         auth_file = users.txt\n\
         pool_mode = transaction\n\
         default_pool_size = {connections}\n\
         max_client_conn = 1000\n\
         ignore_startup_parameters = extra_float_digits\n",
        server.port().expect("a test server's address has a port"),
    )
}

/// The program: the one that `IDEM_PGBOUNCER` names, else `pgbouncer` from `PATH` or where Debian has it, else what `cargo xtask test` fetched.
#[track_caller]
fn program() -> PathBuf {
    let found = program::named_by(VARIABLE)
        .or_else(|| program::find(Path::new("pgbouncer")))
        .or_else(|| program::find(Path::new("/usr/sbin/pgbouncer")))
        .or_else(|| program::fetched("pgbouncer/pgbouncer"));
    found.unwrap_or_else(|| {
        panic!(
            "there is no pgbouncer: run `cargo xtask test --only servers`, or install it, or set {VARIABLE}"
        )
    })
}

#[track_caller]
fn spawn(reservation: &Reservation, settings: &str) -> Process {
    let dir = reservation.dir();
    account::let_in(dir);
    let users = format!("\"{}\" \"{}\"\n", super::product::USER, super::postgres::PASSWORD);
    for (name, text) in [("pgbouncer.ini", settings), ("users.txt", &users)] {
        let path = dir.join(name);
        fs::write(&path, text)
            .unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    }
    let program = program();
    account::assert_can_run(&program);
    let mut command = process::command(program);
    command.arg("pgbouncer.ini").current_dir(dir);
    account::demote(&mut command);
    let path = log_path(reservation);
    let log = File::create(&path);
    let log = log.unwrap_or_else(|error| panic!("cannot write {}: {error}", path.display()));
    let output = log.try_clone().expect("an open file can be shared");
    command.stdin(Stdio::null()).stdout(output).stderr(log);
    Process::spawn(command)
}

fn log_path(reservation: &Reservation) -> PathBuf {
    reservation.dir().join("pgbouncer.log")
}
