//! `cargo xtask verify`: the hunts, with figures.
#![allow(clippy::print_stdout, reason = "a program to be used by hand")]

use std::error::Error;
use std::ops::Range;
use std::process::ExitCode;
use std::thread;
use std::time::Instant;

use clap::{Parser, ValueEnum};
use idem_verify::model::{Explored, Limits, Row, explore_some};
use idem_verify::sim::{Report, simulate};

/// Hunts for violations of the guarantees.
#[derive(Parser)]
struct Arguments {
    /// Hunts for minutes and not for seconds.
    #[arg(long)]
    long: bool,

    /// Does this, and not the other.
    #[arg(long, value_name = "HUNT")]
    only: Option<Hunt>,

    /// Tells the story of this seed of the simulation, and does nothing else.
    #[arg(long, value_name = "SEED")]
    seed: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Hunt {
    Model,
    Simulation,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let Arguments { long, only, seed } = Arguments::parse();
    let hunts = |hunt| only.is_none_or(|only| only == hunt);
    let holds = if let Some(seed) = seed {
        tell(seed)?
    } else {
        let model = !hunts(Hunt::Model) || model(long);
        let seeds = if long { 100_000 } else { 2_000 };
        model & (!hunts(Hunt::Simulation) || simulation(seeds))
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// How many different states the worlds that are explored whole have to have at length: with fewer the model has lost something.
const STATES: usize = 5_000_000;

/// Says whether every guarantee holds in all of the model's worlds, and whether those are as large as they should be.
fn model(long: bool) -> bool {
    let (mut holds, mut states, mut missing) = (true, 0, Row::ALL.to_vec());
    for World { name, limits, at_least, steps } in worlds(long) {
        let explored = explore_some(steps, limits, None);
        let whole = if explored.whole { "" } else { ", not all of them" };
        println!(
            "model, {name}: {} different states{whole} in {:.1?}",
            explored.states, explored.took
        );
        holds &= is_as_it_should_be(&explored, at_least);
        missing.retain(|row| explored.missing.contains(row));
        states += if explored.whole { explored.states } else { 0 };
    }
    if !missing.is_empty() {
        println!("these rows of the transition table were never met: {missing:?}");
    }
    if long && states < STATES {
        println!("worlds that were explored whole have {states} states, which should be {STATES}");
    }
    holds && missing.is_empty() && (states >= STATES || !long)
}

fn is_as_it_should_be(explored: &Explored, at_least: usize) -> bool {
    if let Some((guarantee, steps)) = &explored.broken {
        println!("{guarantee} is broken by\n{steps}");
        return false;
    }
    let is_large = !explored.whole || explored.states >= at_least;
    if !is_large {
        println!("that should be {at_least} at least");
    }
    is_large
}

/// Three callers, and what goes wrong.
struct World {
    name: &'static str,
    limits: Limits,
    /// Different states.
    at_least: usize,
    /// How many ways from one to another are taken, at most.
    steps: usize,
}

fn worlds(long: bool) -> Vec<World> {
    let calm = Limits::NOTHING_GOES_WRONG;
    let whole = |name, limits, at_least| World { name, limits, at_least, steps: usize::MAX };
    let mut worlds = vec![
        whole("nothing goes wrong", calm, 1_500_000),
        whole("a caller dies", Limits { crashes: 1, ..calm }, 2_800_000),
    ];
    if long {
        // More than there is memory for.
        let steps = 100_000_000;
        let part = |name, limits, at_least| World { name, limits, at_least, steps };
        worlds.extend([
            whole("a message arrives twice", Limits { repeats: 1, ..calm }, 16_000_000),
            part(
                "a caller dies, a message arrives twice",
                Limits { crashes: 1, repeats: 1, ..calm },
                16_000_000,
            ),
            part(
                "a caller dies, a message is lost, the clock is set",
                Limits { crashes: 1, losses: 1, clock_steps: 1, ..calm },
                16_000_000,
            ),
            part(
                "two callers, one of whom calls twice; one dies, a message is lost, one arrives twice",
                Limits { calls: [2, 1, 0], crashes: 1, losses: 1, repeats: 1, ..calm },
                16_000_000,
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
    let fewest = totals.iter().map(|all| all.fewest_faults).min().unwrap_or_default();
    println!(
        "simulation: {run} seeds in {:.1?}, {} faults and {fewest} at least in each, {} calls, {} executions, {broken} broken",
        begun.elapsed(),
        sum(|all| all.faults),
        sum(|all| all.calls),
        sum(|all| all.executions),
    );
    run == seeds && broken == 0 && fewest >= FAULTS
}

/// How many things go wrong in each story, at least.
const FAULTS: u32 = 50;

struct Totals {
    seeds: u64,
    faults: u64,
    fewest_faults: u32,
    calls: u64,
    executions: u64,
    broken: u64,
}

fn run(seeds: Range<u64>) -> Totals {
    let mut totals =
        Totals { seeds: 0, faults: 0, fewest_faults: u32::MAX, calls: 0, executions: 0, broken: 0 };
    for seed in seeds {
        // Without a runtime the seed counts as not run.
        let Ok(Report { faults, calls, executions, broken, .. }) = simulate(seed, None, false)
        else {
            continue;
        };
        totals.seeds += 1;
        totals.faults += u64::from(faults);
        totals.fewest_faults = totals.fewest_faults.min(faults);
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
