//! Runs a scenario under many schedules.

use std::cell::Cell;
use std::fmt;
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use idem_shuttle::internal::mistake::{self, Mistake};
use idem_shuttle::internal::time::{Instant, pass, reset};
use shuttle::future::{block_on, spawn, yield_now};
use shuttle::scheduler::{PctScheduler, RandomScheduler, Schedule, Scheduler, Task, TaskId};
use shuttle::{Config, MaxSteps, Runner};

/// Something that several tasks do, and what must hold whoever goes on when.
pub(crate) struct Scenario {
    pub(crate) time: Time,
    pub(crate) run: fn() -> Pin<Box<dyn Future<Output = ()>>>,
}

/// When time passes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Time {
    /// When everybody waits: the machine is as fast as can be, and who is not woken is found out.
    Patient,
    /// Then, and at any other moment: the machine is as slow as can be.
    Leaping,
}

/// Who decides.
#[derive(Clone, Copy)]
enum Order {
    /// A die, at every step.
    Random,
    /// Priorities, changed at a few random steps: what needs few, but exact, interruptions is found sooner.
    Pct,
}

impl fmt::Display for Order {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Random => "random",
            Self::Pct => "pct",
        })
    }
}

/// How many schedules one seed stands for: PCT learns from one how many steps the next may have.
const OF_A_SEED: usize = 500;

const SEED: &str = "IDEM_SCHEDULE_SEED";

/// Fails when the scenario does under one of these schedules: few, or with `IDEM_LONG` as many as there is time for.
pub(crate) fn holds(scenario: &Scenario) {
    let seeds = if std::env::var_os("IDEM_LONG").is_some() { 15 } else { 1 };
    let seeds = match std::env::var(SEED) {
        Ok(seed) => vec![seed.parse().unwrap()],
        Err(_) => (0..seeds).collect(),
    };
    let mut schedules = [0, 0];
    for seed in seeds {
        for (order, schedules) in [Order::Random, Order::Pct].into_iter().zip(&mut schedules) {
            match run(scenario, order, seed, OF_A_SEED, None) {
                Ok(run) => *schedules += run,
                Err(failure) => panic!("{order}, {SEED}={seed}: {failure}"),
            }
        }
    }
    println!("{} random and {} PCT schedules", schedules[0], schedules[1]);
}

/// How the scenario fails under some schedule once the mistake is made.
pub(crate) fn failure(scenario: &Scenario, mistake: Mistake) -> Option<String> {
    let fails = |order, seed| run(scenario, order, seed, OF_A_SEED, Some(mistake)).err();
    (0..40).find_map(|seed| fails(Order::Random, seed).or_else(|| fails(Order::Pct, seed)))
}

fn run(
    scenario: &Scenario,
    order: Order,
    seed: u64,
    schedules: usize,
    mistake: Option<Mistake>,
) -> Result<usize, String> {
    let Scenario { time, run } = *scenario;
    let explore = move || {
        mistake::set(mistake);
        match order {
            Order::Random => {
                under(RandomScheduler::new_from_seed(seed, schedules), seed, time, run)
            }
            Order::Pct => under(PctScheduler::new_from_seed(seed, 3, schedules), seed, time, run),
        }
    };
    // A thread of its own, since what belongs to an execution is kept by thread.
    thread::spawn(explore).join().map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        text.or_else(|| panic.downcast_ref().copied()).unwrap_or("it panicked").to_owned()
    })
}

fn under(
    scheduler: impl Scheduler + 'static,
    seed: u64,
    time: Time,
    run: fn() -> Pin<Box<dyn Future<Output = ()>>>,
) -> usize {
    let leaps = Leaps {
        random: Rng::with_seed(seed),
        at_most: if time == Time::Leaping { 40 } else { 0 },
        left: 0,
    };
    let mut config = Config::new();
    config.stack_size = 0x2_0000;
    config.max_steps = MaxSteps::FailAfter(100_000);
    config.silence_warnings = true;
    Runner::new(WithClock { scheduler, leaps }, config).run(move || {
        reset();
        // What the engine draws for its pauses.
        fastrand::seed(seed);
        drop(spawn(clock(time)));
        block_on(run());
    })
}

thread_local! {
    /// Whether time was let pass because everybody waits.
    static ALL_WAIT: Cell<bool> = const { Cell::new(false) };
}

/// Nothing here takes this long on a fast machine.
const TOO_LONG: Duration = Duration::from_secs(3600);

async fn clock(time: Time) {
    let begun = Instant::now();
    loop {
        let passes = pass();
        assert!(passes || !ALL_WAIT.get(), "everybody waits, and nobody for a time");
        let leaps = time == Time::Leaping;
        assert!(leaps || begun.elapsed() < TOO_LONG, "somebody waits for good");
        yield_now().await;
    }
}

/// A scheduler that lets time pass when it may.
struct WithClock<S> {
    scheduler: S,
    leaps: Leaps,
}

/// Of time, while somebody could go on. They have an end: PCT is not fair, and would let the keeper run after its ever next renewal.
struct Leaps {
    random: Rng,
    at_most: u32,
    left: u32,
}

impl Leaps {
    fn draw(&mut self) -> bool {
        let draws = self.left > 0 && self.random.u8(..) < 8;
        self.left -= u32::from(draws);
        draws
    }
}

impl<S: Scheduler> Scheduler for WithClock<S> {
    fn new_execution(&mut self) -> Option<Schedule> {
        self.leaps.left = self.leaps.at_most;
        self.scheduler.new_execution()
    }

    fn next_task(
        &mut self,
        runnable: &[&Task],
        current: Option<TaskId>,
        is_yielding: bool,
    ) -> Option<TaskId> {
        // The first task that the first one starts.
        let clock = TaskId::from(1);
        let others: Vec<&Task> =
            runnable.iter().copied().filter(|task| task.id() != clock).collect();
        if others.is_empty() || (others.len() < runnable.len() && self.leaps.draw()) {
            ALL_WAIT.set(others.is_empty());
            return Some(clock);
        }
        self.scheduler.next_task(&others, current, is_yielding)
    }

    fn next_u64(&mut self) -> u64 {
        self.scheduler.next_u64()
    }
}
