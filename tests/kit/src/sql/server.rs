//! One server.

use std::{fs, path::Path, process::Stdio, time::Duration};

use nix::sys::signal::Signal;
use sqlx::Error;
use url::Url;

use super::{
    account, family,
    options::SqlServerBuilder,
    product::{Installation, Product, USER, data},
    query::query,
    template,
};
use crate::{
    process::{self, Process},
    reservation::Reservation,
    wait,
};

/// How long a server may take to come up or to shut down, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// A running server; dropping it ends it and removes its folder.
///
/// ```no_run
/// use testkit::sql::{Product, SqlServer};
///
/// let mut server = SqlServer::start(Product::Postgres);
/// server.query("CREATE TABLE greeting AS SELECT 'hello' AS word");
/// server.kill();
/// server.start_again();
/// assert_eq!(server.query("SELECT word FROM greeting"), "hello");
/// ```
#[derive(Debug)]
pub struct SqlServer {
    process: Process,
    reservation: Reservation,
    options: SqlServerBuilder,
    installation: Installation,
}

impl SqlServer {
    /// Starts a server whose commits are durable.
    #[track_caller]
    pub fn start(product: Product) -> Self {
        Self::builder(product).start()
    }

    /// Options of a server.
    pub fn builder(product: Product) -> SqlServerBuilder {
        SqlServerBuilder::new(product)
    }

    #[track_caller]
    pub(super) fn start_with(options: &SqlServerBuilder) -> Self {
        let installation = options.product().installation();
        for _ in 0..3 {
            let reservation = Reservation::take();
            account::let_in(reservation.dir());
            account::give(reservation.dir());
            template::copy(&installation.template, &data(reservation.dir()));
            let process = spawn(options, &installation, &reservation);
            let (options, installation) = (options.clone(), installation.clone());
            let mut server = Self { process, reservation, options, installation };
            match server.wait_until_ready() {
                Ok(()) => return server,
                // Something outside the testkit was faster.
                Err(log) if log.contains("Address already in use") => {}
                Err(log) => {
                    panic!("{} did not start:\n{log}", server.installation.program.display())
                }
            }
        }
        panic!("three ports in a row were taken before the server could listen on them")
    }

    /// The address of the database that it has from the start, over TCP.
    pub fn url(&self) -> String {
        let product = self.options.product();
        let url = format!("{}://{USER}@127.0.0.1/{}", product.scheme(), product.first_database());
        let mut url = Url::parse(&url).expect("this is a URL");
        let _ = url.set_port(Some(self.port()));
        let password = Some(self.installation.password).filter(|password| !password.is_empty());
        let _ = url.set_password(password);
        url.into()
    }

    /// The address of a new and empty database.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached.
    #[track_caller]
    pub fn new_database(&self) -> String {
        new_database(&self.url())
    }

    /// Its TCP port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.reservation.port()
    }

    /// The process id of the running or the last server.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// The process ids of the running server and of the processes that it has started.
    pub fn pids(&self) -> Vec<u32> {
        let children = family::children(self.pid()).into_iter().map(i32::cast_unsigned);
        [self.pid()].into_iter().chain(children).collect()
    }

    pub(super) fn product(&self) -> Product {
        self.options.product()
    }

    /// Where its files are.
    pub(super) fn dir(&self) -> &Path {
        self.reservation.dir()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        let log = fs::read(self.reservation.dir().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Runs statements in its first database and gives the rows as text: a line for each, a tab between columns, nothing for null.
    ///
    /// # Panics
    ///
    /// When the server cannot be reached or answers with an error.
    #[track_caller]
    pub fn query(&self, statements: &str) -> String {
        self.try_query(statements)
            .unwrap_or_else(|error| panic!("{statements:?} to port {}: {error}", self.port()))
    }

    /// Like [`query`](Self::query), for when the answer may be an error.
    pub fn try_query(&self, statements: &str) -> Result<String, Error> {
        query(&self.url(), statements)
    }

    /// Kills it with SIGKILL, with all its processes, as a crash would, and waits until they are gone.
    #[track_caller]
    pub fn kill(&mut self) {
        if self.process.try_wait().is_some() {
            return;
        }
        // Stopped first, so that it starts no process that is not in the list. A full disk may be its end meanwhile.
        if !self.process.stops() {
            self.process.wait(PATIENCE);
            return;
        }
        let children = family::children(self.pid());
        self.process.kill();
        family::kill_all(&children);
    }

    /// Has it end at once, so that it recovers when it is started again: Postgres by its immediate stop, another product by SIGKILL.
    #[track_caller]
    pub fn stop_immediately(&mut self) {
        if self.options.product() != Product::Postgres {
            return self.kill();
        }
        let children = family::children(self.pid());
        self.process.signal(Signal::SIGQUIT);
        self.process.wait(PATIENCE);
        family::kill_all(&children);
    }

    /// Whether its first process runs.
    pub fn is_running(&mut self) -> bool {
        self.process.try_wait().is_none()
    }

    /// Lets none of its processes write to a file beyond so many bytes, as if the disk were full, until it is started again or
    /// [`unlimit_files`](Self::unlimit_files). What a product makes of that is its own business: it may well end.
    #[track_caller]
    pub fn limit_files(&self, bytes: u64) {
        self.set_limit(Some(bytes));
    }

    /// Ends [`limit_files`](Self::limit_files).
    #[track_caller]
    pub fn unlimit_files(&self) {
        self.set_limit(None);
    }

    #[track_caller]
    fn set_limit(&self, bytes: Option<u64>) {
        for pid in self.pids() {
            process::limit_files_by(pid, bytes, account::demote);
        }
    }

    /// Has it end in order, without waiting for its clients, and waits until it has.
    #[track_caller]
    pub fn stop_gracefully(&mut self) {
        self.process.signal(match self.options.product() {
            // SIGTERM would wait until the last client has gone.
            Product::Postgres => Signal::SIGINT,
            Product::MySql => Signal::SIGTERM,
        });
        self.process.wait(PATIENCE);
    }

    /// Starts it again after [`kill`](Self::kill) or [`stop_gracefully`](Self::stop_gracefully), on the same port and data.
    ///
    /// # Panics
    ///
    /// When it is running, or does not come up.
    #[track_caller]
    pub fn start_again(&mut self) {
        assert!(self.process.try_wait().is_some(), "the server is still running");
        self.process = spawn(&self.options, &self.installation, &self.reservation);
        if let Err(log) = self.wait_until_ready() {
            panic!("the server did not start again:\n{log}");
        }
    }

    /// Ends it in order and starts it again on the same port and data.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop_gracefully();
        self.start_again();
    }

    /// Stops it and all its processes with SIGSTOP: connections stay open and nothing is answered.
    #[track_caller]
    pub fn pause(&self) {
        self.process.pause();
        family::stop_all(&family::children(self.pid()));
    }

    /// Continues it after [`pause`](Self::pause).
    #[track_caller]
    pub fn resume(&self) {
        family::continue_all(&family::children(self.pid()));
        self.process.resume();
    }

    /// Waits until the process that was started answers, and not merely something on its port; its log if it ended instead.
    #[track_caller]
    fn wait_until_ready(&mut self) -> Result<(), String> {
        let pid = self.pid().to_string();
        let pid_file = self.options.product().pid_file(self.reservation.dir());
        let mut ended = false;
        let what = format!("the server on port {} answers", self.port());
        wait::until(&what, PATIENCE, || {
            ended = self.process.try_wait().is_some();
            let written = fs::read_to_string(&pid_file).unwrap_or_default();
            let is_this = written.lines().next().is_some_and(|line| line.trim() == pid);
            ended || (is_this && self.try_query("SELECT 1").is_ok())
        });
        if ended { Err(self.log()) } else { Ok(()) }
    }
}

impl Drop for SqlServer {
    fn drop(&mut self) {
        if self.options.product() == Product::Postgres && self.process.try_wait().is_none() {
            // Nothing is saved, as with SIGKILL, but it gives the system's shared memory back. One that is stopped cannot.
            family::continue_all(&family::children(self.pid()));
            self.process.resume();
            self.process.signal(Signal::SIGQUIT);
            for _ in 0..400 {
                if self.process.try_wait().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        // Before the reservation goes, so that its port and folder are not used any more.
        self.process.kill();
    }
}

/// The address of a new database beside the one at `url`.
#[track_caller]
pub(super) fn new_database(url: &str) -> String {
    let name = format!("t{:016x}", fastrand::u64(..));
    if let Err(error) = query(url, &format!("CREATE DATABASE {name}")) {
        panic!("cannot create a database: {error}");
    }
    let mut url = Url::parse(url).expect("the server's address is a URL");
    url.set_path(&name);
    url.into()
}

#[track_caller]
fn spawn(
    options: &SqlServerBuilder,
    installation: &Installation,
    reservation: &Reservation,
) -> Process {
    let (product, dir) = (options.product(), reservation.dir());
    let ended_by = if product == Product::Postgres { "QUIT" } else { "KILL" };
    let mut command = process::command_ended_by(ended_by, &installation.program);
    command.args(&installation.arguments);
    command.args(product.arguments(reservation.port(), dir, options.fsync()));
    command.args(options.setting_arguments()).current_dir(dir);
    account::demote(&mut command);
    let log = dir.join("server.log");
    let output = fs::File::options().create(true).append(true).open(&log);
    let output = output.unwrap_or_else(|error| panic!("cannot write {}: {error}", log.display()));
    let errors = output.try_clone().expect("an open file can be shared");
    command.stdin(Stdio::null()).stdout(output).stderr(errors);
    Process::spawn(command)
}
