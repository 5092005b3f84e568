//! One round: processes call, things go wrong as a seed says, all is made well again, everybody is asked once more, and the judge speaks.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tempfile::TempDir;

use crate::audit::audit;
use crate::backend::{Backend, Promise};
use crate::diary::now;
use crate::fault::{Fault, Tally};
use crate::flaw::Flaw;
use crate::load::Load;
use crate::oracle::{Span, Story, Verdict, judge};
use crate::setup::Setup;
use crate::workers::Crew;

/// What a round is like.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The program that is the workers.
    pub program: PathBuf,
    /// The storage.
    pub backend: Backend,
    /// Of the campaign.
    pub seed: u64,
    /// Which of the campaign's rounds on this backend.
    pub number: u64,
    /// How long things go wrong.
    pub length: Duration,
    /// Processes at once.
    pub workers: usize,
    /// Calls that each has under way at once.
    pub callers: u32,
    /// The lease of every call.
    pub lease: Duration,
    /// The mistake that the workers make.
    pub flaw: Option<Flaw>,
}

impl Settings {
    /// A round of the usual kind.
    pub fn new(program: PathBuf, backend: Backend, seed: u64, number: u64) -> Self {
        Self {
            program,
            backend,
            seed,
            number,
            length: Duration::from_secs(15),
            workers: 3,
            callers: 4,
            lease: Duration::from_millis(1500),
            flaw: None,
        }
    }

    /// The seed of this round alone.
    fn own_seed(&self) -> u64 {
        let place = (self.backend as u64) << 48 | self.number;
        Rng::with_seed(self.seed ^ place.wrapping_mul(0x9E37_79B9_7F4A_7C15)).u64(..)
    }
}

/// What became of a round.
#[derive(Debug)]
pub struct Outcome {
    /// What went wrong on purpose.
    pub faults: Tally,
    /// What the judge says.
    pub verdict: Verdict,
    /// All that happened.
    pub story: Story,
}

/// Makes a round on these servers.
pub fn run(setup: &mut Setup, settings: &Settings) -> Outcome {
    let seed = settings.own_seed();
    let dir = TempDir::new().expect("a folder can be made");
    let load = Load {
        url: setup.url(),
        namespace: format!("chaos-{:016x}-{}", settings.seed, fastrand::u32(..)),
        dir: dir.path().to_owned(),
        number: 0,
        seed,
        begun: now(),
        callers: settings.callers,
        lease: settings.lease,
        flaw: settings.flaw,
    };
    let crew = Crew::start(&settings.program, load.clone(), settings.workers, setup.port());
    crew.wait_until_all_call();
    let mut round = Round {
        setup,
        settings,
        crew,
        rng: Rng::with_seed(seed),
        server: Server::Up,
        due: Vec::new(),
        faults: Tally::new(),
        losses: Vec::new(),
    };
    round.go_wrong();
    round.make_well();
    let Round { crew, faults, losses, .. } = round;
    let mut processes = crew.end();
    let audit = audit(&Load { number: u32::MAX, ..load }, &processes);
    processes.push(audit.process);
    let story = Story {
        promise: settings.backend.promise(),
        lease: settings.lease,
        last: processes.len() - 1,
        processes,
        losses,
        left: audit.left,
    };
    Outcome { faults, verdict: judge(&story), story }
}

struct Round<'a> {
    setup: &'a mut Setup,
    settings: &'a Settings,
    crew: Crew,
    rng: Rng,
    server: Server,
    /// What is to be made well, and when.
    due: Vec<(Instant, Remedy)>,
    faults: Tally,
    losses: Vec<Span>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Up,
    Stopped,
    Full,
}

/// What ends a fault.
#[derive(Clone, Copy, Debug)]
enum Remedy {
    Start(usize),
    Continue(usize),
    Connect(usize),
    Empty(usize),
    ContinueServer,
    EmptyServer,
}

impl Round<'_> {
    fn go_wrong(&mut self) {
        let end = Instant::now() + self.settings.length;
        while Instant::now() < end {
            let pause = self.settings.backend.pace().mul_f64(0.5 + self.rng.f64());
            self.pass(pause.min(end.saturating_duration_since(Instant::now())));
            let fault = self.draw();
            let slot = self.rng.usize(..self.crew.len());
            if self.inflict(fault, slot) {
                *self.faults.entry(fault).or_default() += 1;
            }
        }
    }

    fn draw(&mut self) -> Fault {
        let faults = self.settings.backend.faults();
        let mut place = self.rng.u32(..faults.iter().map(|(_, weight)| weight).sum::<u32>());
        let found = faults.iter().find(|(_, weight)| {
            let here = place < *weight;
            place = place.saturating_sub(*weight);
            here
        });
        found.unwrap_or(&faults[0]).0
    }

    /// Lets time pass, in which things are made well again.
    fn pass(&mut self, duration: Duration) {
        let end = Instant::now() + duration;
        loop {
            let next = self.due.iter().map(|(at, _)| *at).min();
            let until = next.map_or(end, |at| at.min(end));
            sleep(until.saturating_duration_since(Instant::now()));
            let now = Instant::now();
            while let Some(place) = self.due.iter().position(|(at, _)| *at <= now) {
                let (_, remedy) = self.due.swap_remove(place);
                self.remedy(remedy);
            }
            if now >= end {
                return;
            }
        }
    }

    fn after(&mut self, duration: Duration, remedy: Remedy) {
        self.due.push((Instant::now() + duration, remedy));
    }

    /// Up to so many leases.
    fn leases(&mut self, most: f64) -> Duration {
        self.settings.lease.mul_f64(self.rng.f64() * most)
    }

    /// Lets something go wrong, unless it does already.
    fn inflict(&mut self, fault: Fault, slot: usize) -> bool {
        match fault {
            Fault::KillWorker => {
                if !self.crew.is_running(slot) {
                    return false;
                }
                self.crew.kill(slot);
                let pause = Duration::from_millis(self.rng.u64(..300));
                self.after(pause, Remedy::Start(slot));
            }
            Fault::StopWorker => {
                if !self.crew.is_running(slot) || self.crew.is_stopped(slot) {
                    return false;
                }
                self.crew.stop(slot);
                let pause = self.leases(2.0);
                self.after(pause, Remedy::Continue(slot));
            }
            Fault::Cut => self.crew.proxy(slot).cut(),
            Fault::Partition => {
                let proxy = self.crew.proxy(slot);
                proxy.refuse();
                proxy.cut();
                let pause = self.leases(1.8);
                self.after(pause, Remedy::Connect(slot));
            }
            Fault::Delay => {
                let delay = self.leases(0.4);
                let requests = self.rng.bool();
                let proxy = self.crew.proxy(slot);
                if requests {
                    proxy.delay_requests(delay);
                } else {
                    proxy.delay(delay);
                }
                let pause = self.leases(1.5);
                self.after(pause, Remedy::Connect(slot));
            }
            Fault::LoseRequests => self.crew.proxy(slot).drop_requests(self.rng.usize(1..4)),
            Fault::LoseReplies => self.crew.proxy(slot).drop_replies(self.rng.usize(1..4)),
            Fault::Fill if self.settings.backend == Backend::Sqlite => {
                /// More than a worker's ledger and diary have, and less than the database's log often has.
                const ROOM: u64 = 384 << 10;
                self.crew.limit_files(slot, Some(ROOM));
                let pause = self.leases(3.0);
                self.after(pause, Remedy::Empty(slot));
            }
            Fault::CrashServer | Fault::StopServer | Fault::FailOver | Fault::Fill => {
                if self.server != Server::Up {
                    return false;
                }
                self.inflict_on_server(fault);
            }
        }
        true
    }

    fn inflict_on_server(&mut self, fault: Fault) {
        let duration = self.leases(1.2);
        let from = now();
        match fault {
            Fault::CrashServer => self.setup.crash(duration / 2),
            Fault::FailOver => self.setup.fail_over(&mut self.rng),
            Fault::StopServer if self.setup.port().is_some() => {
                self.setup.stop(&mut self.rng, duration);
                self.server = Server::Stopped;
                return self.after(duration, Remedy::ContinueServer);
            }
            Fault::StopServer => self.setup.stop(&mut self.rng, duration * 2),
            _ => {
                self.setup.fill();
                self.server = Server::Full;
                return self.after(duration, Remedy::EmptyServer);
            }
        }
        if self.settings.backend.promise() != Promise::KeepsAll {
            self.losses.push(Span { from, to: now() });
        }
    }

    fn remedy(&mut self, remedy: Remedy) {
        match remedy {
            Remedy::Start(slot) => self.crew.start_in(slot),
            Remedy::Continue(slot) => self.crew.resume(slot),
            Remedy::Connect(slot) => self.crew.proxy(slot).heal(),
            Remedy::Empty(slot) => self.crew.limit_files(slot, None),
            Remedy::ContinueServer => {
                self.setup.resume();
                self.server = Server::Up;
            }
            Remedy::EmptyServer => {
                self.setup.empty();
                self.server = Server::Up;
            }
        }
    }

    fn make_well(&mut self) {
        for (_, remedy) in std::mem::take(&mut self.due) {
            self.remedy(remedy);
        }
        if self.setup.port().is_some() {
            (0..self.crew.len()).for_each(|slot| self.crew.proxy(slot).heal());
        }
    }
}
