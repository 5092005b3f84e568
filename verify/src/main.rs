//! `cargo xtask verify`: the long hunts, with figures.
#![allow(clippy::print_stdout, reason = "a program to be used by hand")]

use std::process::ExitCode;

use clap::Parser;
use idem_verify::model::{Limits, explore};

/// Hunts for violations of the guarantees.
#[derive(Parser)]
struct Arguments {
    /// Explores all of the worlds, which takes some minutes, and not the smallest alone.
    #[arg(long)]
    long: bool,
}

fn main() -> ExitCode {
    let Arguments { long } = Arguments::parse();
    if model(long) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Three callers, and what goes wrong.
fn worlds(long: bool) -> Vec<(&'static str, Limits)> {
    let calm = Limits::NOTHING_GOES_WRONG;
    let mut worlds =
        vec![("nothing goes wrong", calm), ("a caller dies", Limits { crashes: 1, ..calm })];
    if long {
        worlds.extend([
            ("a message is lost", Limits { losses: 1, ..calm }),
            ("a message arrives twice", Limits { repeats: 1, ..calm }),
            ("a caller dies and a message is lost", Limits { crashes: 1, losses: 1, ..calm }),
            ("a caller dies and the clock is set", Limits { crashes: 1, clock_steps: 1, ..calm }),
            (
                "a message is lost and the clock is set",
                Limits { losses: 1, clock_steps: 1, ..calm },
            ),
            (
                "two callers, one calls twice; death, loss, repetition",
                Limits { calls: [2, 1, 0], crashes: 1, losses: 1, repeats: 1, ..calm },
            ),
        ]);
    }
    worlds
}

/// Says whether every guarantee holds in all of the worlds.
fn model(long: bool) -> bool {
    worlds(long).into_iter().fold(true, |all_hold, (name, limits)| {
        let explored = explore(limits, None);
        println!("{name}: {} different states in {:.1?}", explored.states, explored.took);
        if let Some((guarantee, steps)) = &explored.broken {
            println!("{guarantee} is broken by\n{steps}");
        }
        all_hold && explored.broken.is_none()
    })
}
