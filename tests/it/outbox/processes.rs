//! Processes that publish and that consume, to be killed.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};

use idem_tests::{Consumed, Consuming, Relaying};
use idempotency::outbox::EventId;
use serde::Serialize;
use testkit::process::{Process, command};

use crate::stage::PATIENCE;

/// A relay process, and the events that it says it has published; dropping it kills it.
pub(super) struct RelayProcess(Talking<EventId>);

impl RelayProcess {
    pub(super) fn start(told: &Relaying) -> Self {
        let id = |line: &str| line.parse().expect("a line is an id");
        Self(Talking::start(env!("CARGO_BIN_EXE_idem-test-relay"), told, id))
    }

    /// The next event that it has published.
    pub(super) fn next(&self) -> EventId {
        self.0.said.recv_timeout(PATIENCE).expect("the relay publishes")
    }

    /// Whether it has published another one.
    pub(super) fn has_published(&self) -> bool {
        self.0.said.try_recv().is_ok()
    }

    pub(super) fn kill(mut self) {
        self.0.process.kill();
    }
}

/// A consumer process; dropping it kills it.
pub(super) struct ConsumerProcess(Talking<Consumed>);

impl ConsumerProcess {
    pub(super) fn start(told: &Consuming) -> Self {
        let consumed = |line: &str| serde_json::from_str(line).expect("a line is a report");
        Self(Talking::start(env!("CARGO_BIN_EXE_idem-test-consumer"), told, consumed))
    }

    /// Whether it says by now that it stands still.
    pub(super) fn stands_still(&self) -> bool {
        self.0.said.try_iter().any(|said| matches!(said, Consumed::StandsStill { .. }))
    }

    /// Whether it has handled another event.
    pub(super) fn has_handled(&self) -> bool {
        self.0.said.try_recv().is_ok()
    }

    /// The next thing that it says.
    pub(super) fn next(&self) -> Consumed {
        self.0.said.recv_timeout(PATIENCE).expect("the consumer handles something")
    }

    pub(super) fn kill(mut self) {
        self.0.process.kill();
    }
}

/// A process and what it says, a line each.
pub(crate) struct Talking<T> {
    pub(crate) process: Process,
    pub(crate) said: Receiver<T>,
}

impl<T: Send + 'static> Talking<T> {
    pub(crate) fn start(program: &str, told: &impl Serialize, read: fn(&str) -> T) -> Self {
        let mut command = command(program);
        command.arg(serde_json::to_string(told).unwrap()).stdout(Stdio::piped());
        let mut process = Process::spawn(command);
        let output = BufReader::new(process.take_stdout().unwrap());
        let (sender, said) = channel();
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                if sender.send(read(&line)).is_err() {
                    return;
                }
            }
        });
        Self { process, said }
    }
}
