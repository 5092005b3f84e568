//! `cargo xtask chaos` and `cargo xtask soak`.
#![allow(clippy::print_stdout, reason = "a program to be used by hand")]

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use idem_chaos::backend::Backend;
use idem_chaos::campaign::Campaign;
use idem_chaos::{soak, worker};

/// Kills, stops, cuts and fills, and says whether the guarantees hold.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Faults of all kinds on all backends.
    Chaos(Chaos),
    /// The same load for hours, and whether anything grows or stays.
    Soak(Soak),
    /// One of the processes that are killed.
    #[command(hide = true)]
    Worker {
        /// A load, as JSON.
        load: String,
    },
    /// The process that is watched in a soak.
    #[command(hide = true)]
    Soaked {
        /// A soak, as JSON.
        soak: String,
    },
}

#[derive(clap::Args)]
struct Chaos {
    /// How long.
    #[arg(long, default_value_t = 2.0)]
    minutes: f64,
    /// Everything is drawn from it.
    #[arg(long)]
    seed: Option<u64>,
    /// This backend alone; said again, that one as well.
    #[arg(long)]
    only: Vec<Backend>,
    /// This round alone, to repeat it.
    #[arg(long)]
    round: Option<u64>,
    /// Backends at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// How many seconds things go wrong in a round.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
}

#[derive(clap::Args)]
struct Soak {
    /// How long.
    #[arg(long, default_value_t = 2.0)]
    hours: f64,
    /// Everything is drawn from it.
    #[arg(long)]
    seed: Option<u64>,
}

fn main() -> Result<ExitCode, Box<dyn Error>> {
    let holds = match Arguments::parse().task {
        Task::Chaos(arguments) => chaos(arguments)?,
        Task::Soak(Soak { hours, seed }) => {
            let length = Duration::try_from_secs_f64(hours * 3600.0)?;
            soak::run(
                &env::current_exe()?,
                length,
                seed.unwrap_or_else(|| fastrand::u64(..)),
                &reports(),
            )
        }
        Task::Worker { load } => {
            worker::run(&load);
            true
        }
        Task::Soaked { soak } => {
            soak::soaked(&soak);
            true
        }
    };
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn chaos(arguments: Chaos) -> Result<bool, Box<dyn Error>> {
    let Chaos { minutes, seed, only, round, jobs, seconds } = arguments;
    let backends = if only.is_empty() { Backend::ALL.to_vec() } else { only };
    let campaign = Campaign {
        program: env::current_exe()?,
        seed: seed.unwrap_or_else(|| fastrand::u64(..)),
        length: Duration::try_from_secs_f64(minutes * 60.0)?,
        backends,
        jobs,
        only_round: round,
        round: Duration::from_secs(seconds),
        dir: reports(),
    };
    println!("seed {}, report in {}", campaign.seed, campaign.dir.display());
    let report = campaign.run();
    println!("{report}");
    Ok(report.holds(&campaign.backends))
}

/// Beside the program, which is in a folder of the target folder.
fn reports() -> PathBuf {
    let program = env::current_exe().unwrap_or_default();
    program.ancestors().nth(2).unwrap_or(&program).join("chaos")
}
