//! The processes of a round.

use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use testkit::ledger::Ledger;
use testkit::process::{self, Process, command_that_survives_its_limits};
use testkit::proxy::FaultProxy;
use testkit::wait;

use crate::diary::{Diary, now};
use crate::load::Load;
use crate::oracle::{self, Span};
use crate::worker::ledger_in;

/// How long a process may take to end its calls: what a call waits for, and a storage that does not answer.
const PATIENCE: Duration = Duration::from_secs(40);

/// How long a process may take to start and to connect.
const START: Duration = Duration::from_secs(90);

/// The processes of a round, in slots: when one is killed another takes its place.
#[derive(Debug)]
pub struct Crew {
    program: PathBuf,
    load: Load,
    slots: Vec<Slot>,
    gone: Vec<Gone>,
    /// How many were started.
    started: u32,
}

#[derive(Debug)]
struct Slot {
    /// What is between its process and the server, where there is one server.
    proxy: Option<FaultProxy>,
    running: Option<Running>,
}

#[derive(Debug)]
struct Running {
    process: Process,
    /// Closing it asks the process to end.
    stdin: Option<ChildStdin>,
    ledger: Ledger,
    stopped_since: Option<u64>,
    life: Gone,
}

/// What is known of a process when it is gone.
#[derive(Debug, Default)]
struct Gone {
    dir: PathBuf,
    stops: Vec<Span>,
    ended_badly: Option<String>,
}

impl Crew {
    /// Starts `count` processes, each behind a proxy if there is a port to be behind of. `load` is what they have in common; each has a
    /// folder in that of `load`.
    pub fn start(program: &Path, load: Load, count: usize, port: Option<u16>) -> Self {
        let slot = |_| Slot {
            proxy: port.map(|port| FaultProxy::start(("127.0.0.1", port))),
            running: None,
        };
        let slots: Vec<_> = (0..count).map(slot).collect();
        let mut crew =
            Self { program: program.to_owned(), load, slots, gone: Vec::new(), started: 0 };
        (0..count).for_each(|slot| crew.start_in(slot));
        crew
    }

    /// Waits until each process has made a call: a busy machine takes its time to start one.
    pub fn wait_until_all_call(&self) {
        let running = self.slots.iter().filter_map(|slot| slot.running.as_ref());
        let dirs: Vec<_> = running.map(|running| &running.life.dir).collect();
        wait::until("the workers call", START, || {
            dirs.iter().all(|dir| Diary::read(dir).iter().any(|note| note.call != 0))
        });
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// What is between the process in a slot and the server.
    pub fn proxy(&self, slot: usize) -> &FaultProxy {
        self.slots[slot].proxy.as_ref().expect("these faults are for backends with one server")
    }

    /// Whether there is a process in the slot.
    pub fn is_running(&self, slot: usize) -> bool {
        self.slots[slot].running.is_some()
    }

    /// Whether the process in the slot is stopped.
    pub fn is_stopped(&self, slot: usize) -> bool {
        self.slots[slot].running.as_ref().is_some_and(|running| running.stopped_since.is_some())
    }

    /// Starts a process in a slot, unless there is one.
    pub fn start_in(&mut self, slot: usize) {
        let Slot { proxy, running } = &mut self.slots[slot];
        if running.is_some() {
            return;
        }
        self.started += 1;
        let dir = self.load.dir.join(self.started.to_string());
        std::fs::create_dir(&dir).expect("a folder can be made");
        let ledger = Ledger::create(&dir);
        let url = proxy
            .as_ref()
            .map_or_else(|| self.load.url.clone(), |proxy| proxy.before(&self.load.url));
        let load = Load { url, dir: dir.clone(), number: self.started, ..self.load.clone() };
        let mut command = command_that_survives_its_limits(&self.program);
        let log = std::fs::File::create(dir.join("log")).expect("a file can be made");
        command.arg("worker").arg(serde_json::to_string(&load).expect("a load is JSON"));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(log);
        let mut process = Process::spawn(command);
        let stdin = process.take_stdin();
        *running = Some(Running {
            process,
            stdin,
            ledger,
            stopped_since: None,
            life: Gone { dir, ..Gone::default() },
        });
    }

    /// Kills the process in a slot with SIGKILL.
    pub fn kill(&mut self, slot: usize) {
        if let Some(mut running) = self.slots[slot].running.take() {
            running.notice_its_end();
            running.process.kill();
            running.ledger.process_ended(running.process.pid());
            running
                .stopped_since
                .take()
                .into_iter()
                .for_each(|from| running.life.stops.push(Span { from, to: now() }));
            self.gone.push(running.life);
        }
    }

    /// Stops the process in a slot with SIGSTOP.
    pub fn stop(&mut self, slot: usize) {
        if let Some(running) = &mut self.slots[slot].running
            && running.stopped_since.is_none()
            && running.process.try_wait().is_none()
        {
            running.stopped_since = Some(now());
            running.process.pause();
        }
    }

    /// Continues the process in a slot, if it is stopped.
    pub fn resume(&mut self, slot: usize) {
        if let Some(running) = &mut self.slots[slot].running
            && let Some(from) = running.stopped_since.take()
        {
            running.process.resume();
            running.life.stops.push(Span { from, to: now() });
        }
    }

    /// Lets the process in a slot write to no file beyond so many bytes, or to all again.
    pub fn limit_files(&self, slot: usize, bytes: Option<u64>) {
        if let Some(running) = &self.slots[slot].running {
            process::limit_files(running.process.pid(), bytes);
        }
    }

    /// Asks all processes to end and waits until they have; what each left behind.
    pub fn end(mut self) -> Vec<oracle::Process> {
        for Slot { running, .. } in &mut self.slots {
            drop(running.as_mut().map(|running| running.stdin.take()));
        }
        for slot in &mut self.slots {
            if let Some(mut running) = slot.running.take() {
                running.wait_for_its_end();
                running.ledger.process_ended(running.process.pid());
                self.gone.push(running.life);
            }
        }
        self.gone.into_iter().map(Gone::story).collect()
    }
}

impl Running {
    /// One that has ended although nobody asked it to.
    fn notice_its_end(&mut self) {
        if let Some(status) = self.process.try_wait() {
            self.life.ended_badly = Some(format!("ended by itself, {status}: {}", self.life.log()));
        }
    }

    fn wait_for_its_end(&mut self) {
        let begun = std::time::Instant::now();
        loop {
            match self.process.try_wait() {
                Some(status) if status.success() => return,
                Some(status) => {
                    self.life.ended_badly =
                        Some(format!("ended by itself, {status}: {}", self.life.log()));
                    return;
                }
                None if begun.elapsed() > PATIENCE => {
                    self.life.ended_badly =
                        Some(format!("has calls that do not end: {}", self.life.log()));
                    return self.process.kill();
                }
                None => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

impl Gone {
    fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    fn story(self) -> oracle::Process {
        oracle::Process {
            entries: ledger_in(&self.dir).entries(),
            notes: Diary::read(&self.dir),
            stops: self.stops,
            ended_badly: self.ended_badly,
        }
    }
}
