//! A queue that delivers every order three times, out of order, to workers that are killed half way; and every order is charged once.
//!
//! ```text
//! cargo run --example worker                                        # tasks of one process, records in memory
//! cargo run --example worker -- --storage redis://127.0.0.1/        # four processes, three of them killed with SIGKILL
//! cargo run --example worker -- --storage redis://127.0.0.1/ --on-crash park
//! ```
//!
//! # What a kill means
//!
//! A charge has three moments: the bank is asked, the bank books, the result is recorded. A worker that is killed between the second and
//! the third leaves a booked charge that no record tells of. No library can know; it can only be told what to do then:
//!
//! - `--on-crash retry`: the body runs again (at least once). The bank is asked a second time, and the charge is still one because the
//!   *bank* knows the order's number. Give your downstream such a number, or the fence, whenever you choose this.
//! - `--on-crash park`: the body does not run again (at most once). The order stays parked as `Indeterminate` until a person has looked.
//!
//! What the library answers for is checked at the end against a ledger that knows nothing of it: no order ran twice unless the worker that ran
//! it first was killed before it was done.
//!
//! Read [`charge`](work::charge) first; the rest is the queue, the bank, and the killing.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for the terminal")]

mod bank;
mod fleet;
mod orders;
mod process;
mod queue;
mod report;
mod work;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

/// Delivers orders three times each to workers that die, and shows that each was charged once.
#[derive(Parser)]
struct Options {
    /// Where records are kept: `memory:` (workers are tasks) or `redis://host/` (workers are processes).
    #[arg(long, value_name = "URL", default_value = "memory:")]
    storage: String,
    /// A file with one order in JSON per line.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/data/orders.jsonl"))]
    orders: PathBuf,
    /// Workers at work at any time.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u32).range(1..=64))]
    workers: u32,
    /// Workers killed on the way, each replaced by a new one.
    #[arg(long, default_value_t = 3)]
    kills: u32,
    /// How often each order is delivered.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    deliveries: u32,
    /// What becomes of an order whose worker died half way.
    #[arg(long, value_enum, default_value_t = OnCrash::Retry)]
    on_crash: OnCrash,
    /// How long a worker may be silent before another takes its orders over, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    lease: u64,
    /// How long the bank takes for a charge, in milliseconds.
    #[arg(long, value_name = "MS", default_value_t = 20)]
    bank: u64,
    /// Order of the deliveries: the same seed is the same order.
    #[arg(long, default_value_t = 2026)]
    seed: u64,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Subcommand)]
enum Role {
    /// One worker process; its deliveries come on standard input.
    #[command(hide = true)]
    WorkOnStdin,
}

/// What becomes of an order whose worker died half way.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
enum OnCrash {
    /// It is charged again: at least once, made one by the bank.
    Retry,
    /// It is left for a person to look at: at most once.
    Park,
}

/// What all workers have to know.
#[derive(Clone, Serialize, Deserialize)]
struct Setup {
    storage: String,
    /// Part of every key, so that a second run of the example does not replay the first.
    run: String,
    ledger: PathBuf,
    on_crash: OnCrash,
    lease: Duration,
    bank_takes: Duration,
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.role {
        Some(Role::WorkOnStdin) => process::work_on_stdin().await,
        None => deliver(&options).await,
    };
    let Err(error) = done else { return ExitCode::SUCCESS };
    eprintln!("error: {error:#}");
    ExitCode::FAILURE
}

async fn deliver(options: &Options) -> anyhow::Result<()> {
    let orders = orders::read(&options.orders)?;
    let run = format!("{:08x}", fastrand::u32(..));
    let setup = Setup {
        storage: options.storage.clone(),
        ledger: std::env::temp_dir().join(format!("orders-{run}.tsv")),
        run,
        on_crash: options.on_crash,
        lease: Duration::from_millis(options.lease),
        bank_takes: Duration::from_millis(options.bank),
    };
    // Whether the storage can be used is better known before any worker is started.
    let idem = work::connect(&setup).await.context("the storage is not usable")?;
    bank::create(&setup.ledger)?;

    let fleet = fleet::Fleet::new(&setup, idem);
    let kind = fleet.kind();
    println!(
        "{} orders, each delivered {} times, to {} {}; {} of them are killed on the way.\n",
        orders.len(),
        options.deliveries,
        options.workers,
        kind.name(),
        options.kills,
    );
    let tally = queue::deliver(&orders, options, fleet).await?;
    let ledger = bank::Ledger::read(&setup.ledger)?;
    report::print(kind, &tally, &ledger);
    report::verify(&orders, options.on_crash, &tally, &ledger)
        .with_context(|| format!("the ledger is kept in {}", setup.ledger.display()))?;
    std::fs::remove_file(&setup.ledger)?;
    Ok(())
}
