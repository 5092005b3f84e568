//! `cargo xtask verify`: the hunts, with figures.
#![allow(clippy::print_stdout, reason = "a program to be used by hand")]

use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::Parser;
use idem_verify::model::{Limits, explore};
use idem_verify::sim::{Report, simulate};

/// Hunts for violations of the guarantees.
#[derive(Parser)]
struct Arguments {
    /// Hunts for minutes and not for seconds.
    #[arg(long)]
    long: bool,

    /// Tells the story of this seed of the simulation, and does nothing else.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Arguments { long, seed } = Arguments::parse();
    let holds = match seed {
        Some(seed) => tell(seed)?,
        None => model(long) & simulation(if long { 100_000 } else { 2_000 }),
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Says whether every guarantee holds in all of the model's worlds.
fn model(long: bool) -> bool {
    worlds(long).into_iter().fold(true, |all_hold, (name, limits)| {
        let explored = explore(limits, None);
        println!("model, {name}: {} different states in {:.1?}", explored.states, explored.took);
        if let Some((guarantee, steps)) = &explored.broken {
            println!("{guarantee} is broken by\n{steps}");
        }
        all_hold && explored.broken.is_none()
    })
}

/// Three callers, and what goes wrong.
fn worlds(long: bool) -> Vec<(&'static str, Limits)> {
    let calm = Limits::NOTHING_GOES_WRONG;
    let mut worlds =
        vec![("nothing goes wrong", calm), ("a caller dies", Limits { crashes: 1, ..calm })];
    if long {
        worlds.extend([
            ("a message arrives twice", Limits { repeats: 1, ..calm }),
            ("a caller dies, a message arrives twice", Limits { crashes: 1, repeats: 1, ..calm }),
            (
                "a caller dies, a message is lost, the clock is set",
                Limits { crashes: 1, losses: 1, clock_steps: 1, ..calm },
            ),
            (
                "two callers, one of whom calls twice; one dies, a message is lost, one arrives twice",
                Limits { calls: [2, 1, 0], crashes: 1, losses: 1, repeats: 1, ..calm },
            ),
        ]);
    }
    worlds
}

/// Says whether every guarantee holds whatever so many seeds have in store.
fn simulation(seeds: u64) -> bool {
    let begun = Instant::now();
    let workers = thread::available_parallelism().map_or(1, |workers| workers.get() as u64);
    let share = |worker: u64| worker * seeds / workers..(worker + 1) * seeds / workers;
    let totals: Vec<Totals> = thread::scope(|scope| {
        let running: Vec<_> =
            (0..workers).map(|worker| scope.spawn(move || run(share(worker)))).collect();
        running.into_iter().filter_map(|worker| worker.join().ok()).collect()
    });
    let sum = |count: fn(&Totals) -> u64| totals.iter().map(count).sum::<u64>();
    let (run, broken) = (sum(|all| all.seeds), sum(|all| all.broken));
    println!(
        "simulation: {run} seeds in {:.1?}, {} faults, {} calls, {} executions, {broken} broken",
        begun.elapsed(),
        sum(|all| all.faults),
        sum(|all| all.calls),
        sum(|all| all.executions),
    );
    run == seeds && broken == 0
}

#[derive(Default)]
struct Totals {
    seeds: u64,
    faults: u64,
    calls: u64,
    executions: u64,
    broken: u64,
}

fn run(seeds: Range<u64>) -> Totals {
    let mut totals = Totals::default();
    for seed in seeds {
        // Without a runtime the seed counts as not run.
        let Ok(Report { faults, calls, executions, broken, .. }) = simulate(seed, None, false)
        else {
            continue;
        };
        totals.seeds += 1;
        totals.faults += u64::from(faults);
        totals.calls += u64::from(calls);
        totals.executions += u64::from(executions);
        if let Some(broken) = broken {
            println!("seed {seed}: {broken}");
            totals.broken += 1;
        }
    }
    totals
}

fn tell(seed: u64) -> Result<bool, Box<dyn Error>> {
    let report = simulate(seed, None, true)?;
    for line in report.story {
        println!("{line}");
    }
    println!("{} faults, trace {:016x}", report.faults, report.trace);
    if let Some(broken) = &report.broken {
        println!("{broken}");
    }
    Ok(report.broken.is_none())
}
