//! Tasks of the workspace, run as `cargo xtask <task>`.
//!
//! [`mod@test`] is what decides whether a change is good; [`servers`] gets the servers that the tests run against.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program to be used by hand")]

mod api;
mod bench;
mod chaos;
mod run;
mod servers;
mod test;
mod tools;
mod verify;

use std::{ffi::OsString, path::Path, process::ExitCode};

use lexopt::{Arg, Parser, ValueExt};

const HELP: &str = "\
Tasks of the workspace

cargo xtask test [--only STEP]... [--skip STEP]...
    Checks everything, and fetches the servers that are missing.
cargo xtask api
    Writes the public API into tests/api, after a change of it that is meant.
cargo xtask bench [ARGUMENT]...
    Runs the benchmarks with these arguments, such as --quick.
cargo xtask verify [--long] [--only HUNT]... | --seed SEED
    Hunts for violations of the guarantees in the model and the simulation, and with --long for long and everywhere; or tells the story of a
    seed of the simulation.
cargo xtask chaos [--minutes N] [--seed S] [--only BACKEND]... [--round N] [--jobs N] [--seconds N]
    Kills, stops, cuts and fills processes, connections and servers, and has a judge look at what became of the calls.
cargo xtask soak [--hours H] [--seed S]
    Calls Redis and SQLite for hours with 5 % faults, and looks whether memory grows and whether anything stays.
";

fn main() -> ExitCode {
    match dispatch(Parser::from_env()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}\n\n{}", help());
            ExitCode::from(2)
        }
    }
}

/// Whether the task succeeded, or what is wrong with the arguments.
fn dispatch(mut arguments: Parser) -> Result<bool, lexopt::Error> {
    match arguments.next()? {
        None | Some(Arg::Short('h') | Arg::Long("help")) => {
            print!("{}", help());
            Ok(true)
        }
        Some(Arg::Value(task)) if task == "test" => Ok(test::run(&selection(arguments)?)),
        Some(Arg::Value(task)) if task == "api" => Ok(api::write()),
        Some(Arg::Value(task)) if task == "bench" => {
            let rest: Vec<OsString> = arguments.raw_args()?.collect();
            Ok(bench::run(&rest))
        }
        Some(Arg::Value(task)) if task == "verify" => verify(arguments),
        Some(Arg::Value(task)) if task == "chaos" || task == "soak" => {
            let rest: Vec<OsString> = arguments.raw_args()?.collect();
            Ok(chaos::run(&task.string()?, &rest))
        }
        Some(other) => Err(other.unexpected()),
    }
}

fn help() -> String {
    let steps: Vec<_> = test::step_names().collect();
    let hunts: Vec<_> = verify::names().collect();
    let (steps, hunts) = (steps.join(" "), hunts.join(" "));
    format!("{HELP}\nsteps of test, in this order: {steps}\nhunts of verify: {hunts}\n")
}

fn verify(mut arguments: Parser) -> Result<bool, lexopt::Error> {
    let (mut long, mut only) = (false, Vec::new());
    while let Some(argument) = arguments.next()? {
        match argument {
            Arg::Long("long") => long = true,
            Arg::Long("seed") => return Ok(verify::tell(&arguments.value()?.string()?)),
            Arg::Long("only") => {
                let hunt = arguments.value()?.string()?;
                if !verify::names().any(|name| name == hunt) {
                    return Err(format!("there is no hunt {hunt:?}").into());
                }
                only.push(hunt);
            }
            other => return Err(other.unexpected()),
        }
    }
    Ok(verify::run(long, &only))
}

fn selection(mut arguments: Parser) -> Result<test::Selection, lexopt::Error> {
    let mut selection = test::Selection::default();
    while let Some(argument) = arguments.next()? {
        let steps = match argument {
            Arg::Long("only") => &mut selection.only,
            Arg::Long("skip") => &mut selection.skip,
            other => return Err(other.unexpected()),
        };
        let step = arguments.value()?.string()?;
        if !test::step_names().any(|name| name == step) {
            return Err(format!("there is no step {step:?}").into());
        }
        steps.push(step);
    }
    Ok(selection)
}

/// The root of the workspace.
fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}
