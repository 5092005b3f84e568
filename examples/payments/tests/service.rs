//! The program, started as a user starts it.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use testkit::process::{Process, command};

/// Far longer than anything takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// A running payments service with its files in one folder. Dropping it kills it.
pub(crate) struct Service {
    pub(crate) addr: SocketAddr,
    process: Process,
}

impl Service {
    /// Starts it on a free port, with records in `dir` and the bank's book there.
    pub(crate) fn start(dir: &Path) -> Self {
        Self::start_with(dir, &[])
    }

    pub(crate) fn start_with(dir: &Path, arguments: &[&str]) -> Self {
        let mut service = command(env!("CARGO_BIN_EXE_payments"));
        service.args(["--listen", "127.0.0.1:0"]).args(arguments).current_dir(dir);
        let mut process = Process::spawn({
            service.stdout(Stdio::piped());
            service
        });
        let mut line = String::new();
        let mut output = BufReader::new(process.take_stdout().unwrap());
        output.read_line(&mut line).unwrap();
        let addr = line.trim().strip_prefix("listening on http://");
        let addr = addr.unwrap_or_else(|| panic!("it says {line:?}")).parse().unwrap();
        Self { addr, process }
    }

    /// Kills it as a power failure would.
    pub(crate) fn kill(mut self) {
        self.process.kill();
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(mut self) {
        assert!(self.process.terminate(PATIENCE).success());
    }
}

/// How often the bank in `dir` has booked something under each reference, which is the client's key.
pub(crate) fn booked(dir: &Path) -> HashMap<String, usize> {
    let mut booked = HashMap::new();
    for line in std::fs::read_to_string(dir.join("charges.jsonl")).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        *booked.entry(line["reference"].as_str().unwrap().to_owned()).or_default() += 1;
    }
    booked
}
