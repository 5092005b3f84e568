//! Worker processes, to be killed, stopped and continued.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use idem_tests::{Ended, Job, Report};
use testkit::process::{Process, command};

use crate::stage::PATIENCE;

/// A worker process; dropping it kills it.
pub(crate) struct Worker {
    pub(crate) process: Process,
    /// What its wall clock said when it was connected, in seconds since the Unix epoch.
    pub(crate) wall_clock: u64,
    reports: Receiver<Report>,
}

impl Worker {
    /// The program, for a command of the test's own.
    pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_idem-test-worker");

    /// Starts a process for `job`; when this returns it is connected and waits for [`go`](Self::go).
    pub(crate) fn start(job: &Job) -> Self {
        Self::start_by(command(Self::PROGRAM), job)
    }

    /// Likewise, by a command that ends with the program.
    pub(crate) fn start_by(mut command: Command, job: &Job) -> Self {
        let job = serde_json::to_string(job).unwrap();
        command.arg(job).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process::spawn(command);
        let (sender, reports) = channel();
        let output = BufReader::new(process.take_stdout().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let report = serde_json::from_str(&line).expect("a worker's lines are reports");
                if sender.send(report).is_err() {
                    return;
                }
            }
        });
        let mut worker = Self { process, wall_clock: 0, reports };
        match worker.next() {
            Report::Ready { wall_clock } => worker.wall_clock = wall_clock,
            other => panic!("the worker's first report is {other:?}"),
        }
        worker
    }

    /// Lets it make its calls.
    pub(crate) fn go(&mut self) {
        let mut stdin = self.process.take_stdin().expect("it is told once");
        stdin.write_all(b"go\n").expect("the worker listens");
    }

    /// Lets it make its calls and waits until a body has begun.
    #[track_caller]
    pub(crate) fn go_and_begin(&mut self) {
        self.go();
        match self.next() {
            Report::Began { .. } => {}
            other => panic!("{other:?} instead of a body that begins"),
        }
    }

    /// The next report.
    #[track_caller]
    pub(crate) fn next(&self) -> Report {
        match self.reports.recv_timeout(PATIENCE) {
            Ok(report) => report,
            Err(error) => panic!("no report from worker {}: {error}", self.process.pid()),
        }
    }

    /// How its next `calls` calls ended, whatever else it reports meanwhile.
    #[track_caller]
    pub(crate) fn ended(&self, calls: usize) -> Vec<Ended> {
        let reports = std::iter::repeat_with(|| self.next());
        let ended = reports.filter_map(|report| match report {
            Report::Ended(ended) => Some(ended),
            _ => None,
        });
        ended.take(calls).collect()
    }
}
