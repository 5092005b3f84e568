//! The loop: time goes on, messages arrive, processes run, things go wrong.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use idem_runtime::storage::{Claimed, Watchers, Written};
use idem_runtime::{Outcome, Source, current};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::Report;
use super::network::{Address, Message, Network, Odds};
use super::oracle::Oracle;
use super::process::{Call, Failed, Process, Use};
use super::server::{Bug, Reply, Request, Server};
use super::trace::Trace;

/// How finely time is cut.
pub const TICK: Duration = Duration::from_millis(2);

/// How long an owner may be silent.
pub const LEASE: Duration = Duration::from_millis(60);

/// Longer than any simulation.
pub const RETENTION: Duration = Duration::from_secs(3600);

const PROCESSES: usize = 3;
const KEYS: usize = 8;

/// There is trouble for at least so many milliseconds, and until there were so many faults.
const TROUBLE: u64 = 600;
const FAULTS: u32 = 50;

/// When there is no more trouble everything has to end within so many milliseconds.
const AFTERMATH: u64 = 10_000;

/// The world, as all in it see it.
#[derive(Clone, Debug)]
pub struct SharedWorld(Arc<Mutex<World>>);

impl Deref for SharedWorld {
    type Target = Mutex<World>;

    fn deref(&self) -> &Mutex<World> {
        &self.0
    }
}

/// Everything but the processes.
#[derive(Debug)]
pub struct World {
    now: u64,
    random: fastrand::Rng,
    trace: Trace,
    /// The records.
    pub server: Server,
    oracle: Oracle,
    network: Network,
    odds: Odds,
    lives: [u32; PROCESSES],
    watchers: Vec<Watchers>,
    /// No message passes between the server and a process until then.
    cut_until: [u64; PROCESSES],
    /// The server does not answer until then.
    down_until: u64,
    faults: u32,
    executions: u32,
    open_calls: BTreeSet<(Address, u32)>,
}

impl World {
    fn new(seed: u64, bug: Option<Bug>, is_told: bool) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        // Each world has troubles of its own: some many of one kind, some a little of all.
        let mut odds = |most: u32| if random.bool() { random.u32(0..most) } else { 0 };
        let odds = Odds { loss: odds(150), repeat: odds(150), delay: odds(150), reset: odds(100) };
        Self {
            now: 0,
            random,
            trace: Trace::new(is_told),
            server: Server::new(bug),
            oracle: Oracle::new(KEYS),
            network: Network::default(),
            odds,
            lives: [0; PROCESSES],
            watchers: (0..PROCESSES).map(|_| Watchers::new(|_| {})).collect(),
            cut_until: [0; PROCESSES],
            down_until: 0,
            faults: 0,
            executions: 0,
            open_calls: BTreeSet::new(),
        }
    }

    /// A process asks the server for something.
    pub fn send(&mut self, from: Address, request: Arc<Request>, answer: oneshot::Sender<Reply>) {
        if self.lives[from.process] != from.life {
            return;
        }
        if self.is_lost(from.process) {
            return self.tell(format_args!("p{} asks and is not heard", from.process));
        }
        let mut answer = Some(answer);
        if self.goes_wrong(self.odds.reset) {
            let is_refused = self.random.bool();
            let reply = if is_refused { Reply::Refused } else { Reply::Reset };
            if let Some(answer) = answer.take() {
                self.network.send(self.now + 2, Message::Reply { to: from, reply, answer });
            }
            if is_refused {
                return self.tell(format_args!("p{} is refused", from.process));
            }
        }
        let arrives = self.now + self.delay();
        if self.goes_wrong(self.odds.repeat) {
            let again = arrives + self.random.u64(1..150);
            let request = Arc::clone(&request);
            self.network.send(again, Message::Request { from, request, answer: None });
        }
        self.network.send(arrives, Message::Request { from, request, answer });
    }

    fn is_lost(&mut self, process: usize) -> bool {
        if self.now < self.cut_until[process] {
            self.faults += 1;
            return true;
        }
        self.goes_wrong(self.odds.loss)
    }

    fn goes_wrong(&mut self, thousandths: u32) -> bool {
        let wrong = thousandths > 0 && self.random.u32(0..1000) < thousandths;
        self.faults += u32::from(wrong);
        wrong
    }

    fn delay(&mut self) -> u64 {
        let usual = self.random.u64(1..4);
        if self.goes_wrong(self.odds.delay) { usual + self.random.u64(0..200) } else { usual }
    }

    /// What is due arrives.
    fn deliver(&mut self) {
        while let Some(message) = self.network.arrived(self.now) {
            match message {
                Message::Request { from, request, answer } if self.now >= self.down_until => {
                    self.serve(from, &request, answer);
                }
                Message::Request { .. } => {}
                Message::Reply { to, reply, answer } => {
                    if self.lives[to.process] == to.life {
                        // Who does not wait any more does not hear it.
                        let _ = answer.send(reply);
                    }
                }
                Message::Wake { to, key } => self.watchers[to].wake(&key),
            }
        }
    }

    fn serve(&mut self, from: Address, request: &Request, answer: Option<oneshot::Sender<Reply>>) {
        let reply = self.server.answer(request, self.now);
        self.tell_served(from, request, &reply);
        if let (Some(key), Reply::Written(written)) = (request.frees(), &reply)
            && written.contains(&Written::Done)
        {
            self.wake(key.as_str());
        }
        let Some(answer) = answer else { return };
        if self.is_lost(from.process) {
            return self.tell(format_args!("p{} is not answered", from.process));
        }
        let arrives = self.now + self.delay();
        self.network.send(arrives, Message::Reply { to: from, reply, answer });
    }

    fn wake(&mut self, key: &str) {
        for to in 0..PROCESSES {
            if !self.is_lost(to) {
                let arrives = self.now + self.delay();
                self.network.send(arrives, Message::Wake { to, key: key.to_owned() });
            }
        }
    }

    fn tell(&mut self, what: std::fmt::Arguments<'_>) {
        self.trace.tell(self.now, what);
    }

    fn tell_served(&mut self, from: Address, request: &Request, reply: &Reply) {
        let (verb, first) = request.what();
        let (key, owner) = first.map_or(("", None), |(key, owner)| (key.as_str(), Some(owner)));
        let owner = owner.map(|owner| self.trace.owner(owner));
        let what = match reply {
            Reply::Claimed(Claimed::Replay(_)) => "Replay".to_owned(),
            Reply::Claimed(claimed) => format!("{claimed:?}"),
            Reply::Written(written) => {
                let done =
                    |written: &Written| if *written == Written::Done { "Done " } else { "Lost " };
                written.iter().map(done).collect()
            }
            Reply::Refused | Reply::Reset => String::new(),
        };
        self.tell(format_args!("p{} {verb} {key} by owner {owner:?}: {what}", from.process));
    }

    /// A body begins; gives its number.
    pub fn begins(&mut self, from: Address, call: Call) -> u64 {
        self.executions += 1;
        let number = u64::from(self.executions);
        self.tell(format_args!("p{} body {number} of k{} begins", from.process, call.key));
        let Some(context) = current() else {
            self.oracle.require(false, || "a body has no context".to_owned());
            return number;
        };
        let at = (self.now, self.server.clock(self.now));
        let record = self.server.record_of(call.key);
        self.oracle.begins(call.key, context.owner(), record, at);
        number
    }

    /// A body ends.
    pub fn ends(&mut self, from: Address, call: Call, number: u64) {
        self.tell(format_args!("p{} body {number} of k{} ends", from.process, call.key));
    }

    /// A process says that an end is not recorded.
    pub fn unrecorded(&mut self, from: Address, key: &str) {
        let Some(key) = key.strip_prefix('k').and_then(|key| key.parse().ok()) else { return };
        if self.lives[from.process] == from.life {
            self.tell(format_args!("p{} cannot record k{key}", from.process));
        }
        self.oracle.unrecorded(key);
    }

    /// A caller is told how its call ended, or has gone. Says whether it is content.
    pub fn told(
        &mut self,
        from: Address,
        call: Call,
        told: Option<&Result<Outcome<u64>, Failed>>,
    ) -> bool {
        let content = match told {
            Some(told) => {
                let what = match told {
                    Ok(Outcome { value, source }) => format!("{value} {}", word(source)),
                    Err(failed) => format!("{failed}"),
                };
                self.tell(format_args!(
                    "p{} call {} of k{}: {what}",
                    from.process, call.number, call.key
                ));
                let record = self.server.record_of(call.key);
                self.oracle.told(call.key, call.used, told, record)
            }
            None => true,
        };
        if content {
            self.open_calls.remove(&(from, call.number));
        }
        content
    }
}

fn word(source: &Source) -> &'static str {
    match source {
        Source::Executed { recovered: true } => "recovered",
        Source::Executed { recovered: false } => "executed",
        Source::Replayed { .. } => "replayed",
        _ => "unrecorded",
    }
}

/// Tells the story of a seed.
///
/// # Errors
///
/// When there is no runtime to be had.
pub fn simulate(
    seed: u64,
    bug: Option<Bug>,
    is_told: bool,
) -> Result<Report, Box<dyn std::error::Error>> {
    // What the engine draws for its pauses.
    fastrand::seed(seed);
    let world = SharedWorld(Arc::new(Mutex::new(World::new(seed, bug, is_told))));
    let mut simulation = Simulation { processes: Vec::new(), world, calls: 0 };
    simulation.run()?;
    let Simulation { processes, world, calls } = simulation;
    processes.into_iter().for_each(Process::die);
    let world = &mut *world.lock();
    Ok(Report {
        trace: world.trace.number(),
        faults: world.faults,
        calls,
        executions: world.executions,
        broken: world.oracle.broken.take(),
        story: std::mem::take(&mut world.trace).into_story(),
    })
}

struct Simulation {
    world: SharedWorld,
    processes: Vec<Process>,
    calls: u32,
}

impl Simulation {
    fn run(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        for process in 0..PROCESSES {
            self.processes.push(self.start(process)?);
        }
        while !self.is_broken() && self.is_in_trouble() {
            self.trouble()?;
            self.clients();
            self.tick();
        }
        self.heal();
        self.settle("a call has not ended");
        self.restart(0)?;
        for key in 0..KEYS {
            let call = Call { waits: true, cancelled_after: None, ..self.draw(key, Use::Own) };
            self.call(0, call);
        }
        self.settle("G6: a key stays locked");
        Ok(())
    }

    fn is_broken(&self) -> bool {
        self.world.lock().oracle.broken.is_some()
    }

    fn is_in_trouble(&self) -> bool {
        let world = self.world.lock();
        world.now < TROUBLE || (world.faults < FAULTS && world.now < TROUBLE * 10)
    }

    fn tick(&mut self) {
        let mut world = self.world.lock();
        world.now += 2;
        world.deliver();
        let now = world.now;
        drop(world);
        for process in &mut self.processes {
            process.run(now);
        }
    }

    /// Until every call has ended.
    fn settle(&mut self, otherwise: &str) {
        let deadline = self.world.lock().now + AFTERMATH;
        while !self.is_broken() {
            let in_flight: usize = self.processes.iter().map(Process::in_flight).sum();
            let mut world = self.world.lock();
            if in_flight == 0 && world.open_calls.is_empty() {
                return;
            }
            let open = world.open_calls.clone();
            let in_time = world.now < deadline;
            world
                .oracle
                .require(in_time, || format!("{otherwise}: {open:?}, {in_flight} in flight"));
            drop(world);
            self.tick();
        }
    }

    fn heal(&mut self) {
        let mut world = self.world.lock();
        world.odds = Odds::default();
        world.cut_until = [0; PROCESSES];
        world.down_until = 0;
        world.tell(format_args!("no more trouble"));
        drop(world);
        for process in &mut self.processes {
            process.paused_until = 0;
        }
    }

    /// Perhaps something goes wrong with a process or the server.
    fn trouble(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let mut world = self.world.lock();
        let World { random, now, .. } = &mut *world;
        if random.u32(0..1000) >= 60 {
            return Ok(());
        }
        let (process, until) = (random.usize(0..PROCESSES), *now + random.u64(5..200));
        let kind = random.u32(0..10);
        world.faults += 1;
        match kind {
            0 | 1 => {
                drop(world);
                self.restart(process)?;
            }
            2..=4 => {
                world.tell(format_args!("p{process} stands still until {until}"));
                drop(world);
                self.processes[process].paused_until = until;
            }
            5..=7 => {
                world.tell(format_args!("p{process} is cut off until {until}"));
                world.cut_until[process] = until;
            }
            8 => {
                world.tell(format_args!("the server is down until {until}"));
                world.down_until = until;
            }
            _ => {
                let by = world.random.i64(-100..=100);
                world.tell(format_args!("the server's clock is set by {by} ms"));
                world.server.ahead += by;
                let doubtful_until = world.now + 400;
                world.oracle.clock_was_set(doubtful_until);
            }
        }
        Ok(())
    }

    /// Perhaps somebody calls.
    fn clients(&mut self) {
        for process in 0..PROCESSES {
            let mut world = self.world.lock();
            if world.random.u32(0..1000) >= 50 {
                continue;
            }
            let key = world.random.usize(0..KEYS);
            let other = world.oracle.has_promised(key) && world.random.u32(0..10) == 0;
            drop(world);
            let call = self.draw(key, if other { Use::Other } else { Use::Own });
            self.call(process, call);
        }
    }

    fn draw(&mut self, key: usize, used: Use) -> Call {
        let random = &mut self.world.lock().random;
        self.calls += 1;
        Call {
            number: self.calls,
            key,
            used,
            waits: random.bool(),
            cancelled_after: (random.u32(0..8) == 0)
                .then(|| Duration::from_millis(random.u64(0..120))),
            takes: Duration::from_millis(if random.bool() {
                random.u64(0..20)
            } else {
                random.u64(0..200)
            }),
        }
    }

    fn call(&self, process: usize, call: Call) {
        let process = &self.processes[process];
        self.world.lock().open_calls.insert((process.address, call.number));
        process.call(call);
    }

    fn start(&self, process: usize) -> Result<Process, Box<dyn std::error::Error>> {
        let world = self.world.lock();
        let address = Address { process, life: world.lives[process] };
        let watchers = world.watchers[process].clone();
        drop(world);
        Process::start(&self.world, address, watchers)
    }

    /// A process dies and another takes its place.
    fn restart(&mut self, process: usize) -> Result<(), Box<dyn std::error::Error>> {
        let mut world = self.world.lock();
        world.tell(format_args!("p{process} dies"));
        world.lives[process] += 1;
        world.open_calls.retain(|(address, _)| address.process != process);
        world.watchers[process] = Watchers::new(|_| {});
        drop(world);
        let next = self.start(process)?;
        std::mem::replace(&mut self.processes[process], next).die();
        Ok(())
    }
}
