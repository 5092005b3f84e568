//! Many rounds, on many backends.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::backend::Backend;
use crate::report::Report;
use crate::round::{self, Outcome, Settings};
use crate::setup::Setup;

/// What a campaign is like.
#[derive(Clone, Debug)]
pub struct Campaign {
    /// The program that is the workers.
    pub program: PathBuf,
    /// Everything is drawn from it.
    pub seed: u64,
    /// How long it goes on.
    pub length: Duration,
    /// What is tried.
    pub backends: Vec<Backend>,
    /// How many backends are tried at once.
    pub jobs: usize,
    /// This round of each backend, and no other.
    pub only_round: Option<u64>,
    /// How long things go wrong in a round.
    pub round: Duration,
    /// Where the report goes; the round that broke something is told beside it.
    pub dir: PathBuf,
}

/// A backend's servers are used for so long, then those of the next one.
const TURN: Duration = Duration::from_secs(240);

/// A backend and what is left of its time.
struct Turn {
    backend: Backend,
    left: Duration,
    round: u64,
}

impl Campaign {
    /// Makes all rounds, and writes the report after each of them.
    pub fn run(&self) -> Report {
        let jobs = self.jobs.clamp(1, self.backends.len().max(1));
        let share = self.length.mul_f64(jobs as f64 / self.backends.len().max(1) as f64);
        let turn = |&backend| Turn { backend, left: share, round: self.only_round.unwrap_or(0) };
        let turns: Mutex<VecDeque<Turn>> = Mutex::new(self.backends.iter().map(turn).collect());
        let report = Mutex::new(Report::new(self.seed));
        thread::scope(|scope| {
            for _ in 0..jobs {
                scope.spawn(|| {
                    while let Some(turn) = next(&turns) {
                        if let Some(rest) = self.take(turn, &report) {
                            locked(&turns).push_back(rest);
                        }
                    }
                });
            }
        });
        report.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes rounds on one backend until its turn is over; what is left for another turn.
    fn take(&self, mut turn: Turn, report: &Mutex<Report>) -> Option<Turn> {
        let begun = Instant::now();
        let mut setup = None;
        loop {
            let settings = Settings {
                length: self.round,
                ..Settings::new(self.program.clone(), turn.backend, self.seed, turn.round)
            };
            // Servers that do not start or do not agree end the round and not the campaign.
            let round = catch_unwind(AssertUnwindSafe(|| {
                let servers = setup.get_or_insert_with(|| Setup::start(turn.backend));
                round::run(servers, &settings)
            }));
            if let Ok(outcome) = round {
                self.note(&turn, &outcome, report);
            } else {
                setup = None;
                locked(report).abandon(turn.backend);
            }
            turn.round += 1;
            let passed = begun.elapsed();
            if self.only_round.is_some() || passed >= turn.left {
                return None;
            }
            if passed >= TURN {
                turn.left -= passed;
                return Some(turn);
            }
        }
    }

    fn note(&self, turn: &Turn, outcome: &Outcome, report: &Mutex<Report>) {
        let mut report = locked(report);
        report.add(turn.backend, turn.round, &outcome.faults, &outcome.verdict);
        for violation in &outcome.verdict.violations {
            println!(
                "{} is broken on {} in round {}: {} {}",
                violation.guarantee, turn.backend, turn.round, violation.key, violation.text
            );
            let file =
                format!("{}-{}-{}-{}.txt", self.seed, turn.backend, turn.round, violation.key);
            let told = format!("{violation:?}\n{}", outcome.story.tell(&violation.key));
            report.keep(&self.dir.join(file), &told);
        }
        report.write(&self.dir);
    }
}

/// Holds the lock for no longer than it takes to look.
fn next(turns: &Mutex<VecDeque<Turn>>) -> Option<Turn> {
    locked(turns).pop_front()
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
