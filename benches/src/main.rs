//! Benchmarks of `idempotency`: `cargo xtask bench [--quick]`.
//!
//! Every figure stands beside a limit that was measured in the same run, in turn with it, so that the ratio holds on a busy machine too. What
//! the limit is stands in the row: the bare commands on the same client, a bare map with the same hashing and encoding, or the "afternoon
//! version" of idempotency that most hand-written code is.
//!
//! | module | measures |
//! |---|---|
//! | [`contest`] | calls per second and latency of a fresh call and of a replay, against the limits |
//! | [`http`] | requests through the layer, against bare axum and against the handle without HTTP |
//! | [`sql`] | the same on databases, against the same statements one by one |
//! | [`duplicates`] | 64 duplicates of one slow call, in this process |
//! | [`wakeups`] | how soon waiters in other processes learn of the end |
//! | [`heartbeats`] | what the keeper costs a short call |
//! | [`footprint`] | bytes per stored record and per call under way |
#![allow(clippy::print_stdout, reason = "a program for the terminal")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "counts here are far below 2^52, and a hash may lose bits"
)]

mod callers;
mod contest;
mod duplicates;
mod footprint;
mod heartbeats;
mod http;
mod load;
mod memory;
mod payload;
#[cfg(target_os = "linux")]
mod placement;
#[cfg(not(target_os = "linux"))]
mod placement {
    //! Where a process runs is not for us to say on this system.

    pub(crate) struct Apart;

    impl Apart {
        pub(crate) fn keep(_server: Vec<u32>) -> Option<Self> {
            None
        }
    }
}
mod redis_server;
mod redis_subjects;
mod report;
mod sampling;
mod server_side;
mod sql;
mod wakeups;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand};
use tokio::runtime::Runtime;

use crate::report::Report;
use crate::sampling::Sampling;

/// Measures `idempotency` beside the limits of what it is built on.
#[derive(Parser)]
struct Options {
    /// Less sampling: five minutes at most.
    #[arg(long)]
    quick: bool,
    /// Where the rows go.
    #[arg(long, value_name = "FILE", default_value_os_t = target().join("bench.json"))]
    output: PathBuf,
    /// Only the rows of this storage, or of HTTP on memory and Redis.
    #[arg(long, value_parser = ["memory", "redis", "http", "postgres", "mysql", "sqlite"])]
    only: Option<String>,
    /// Of the rows of databases, only those of so many callers.
    #[arg(long, value_name = "COUNT")]
    callers: Option<usize>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program does besides, or when it runs itself as another process.
#[derive(Subcommand)]
enum Role {
    /// Waits for the end of calls that another process runs.
    #[command(hide = true)]
    Waiter { url: String },
    /// Prints how many bytes one thing takes.
    #[command(hide = true)]
    Footprint { of: footprint::Of },
    /// Makes calls on the memory storage and nothing else, to be looked at with a profiler.
    Profile { subject: memory::Name, calls: usize },
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match &options.role {
        Some(Role::Waiter { url }) => return wakeups::wait_for_ends(&runtime, url),
        Some(Role::Footprint { of }) => return footprint::print(&runtime, *of),
        Some(Role::Profile { subject, calls }) => {
            println!("{:?} each", memory::profile(&runtime, *subject, *calls));
            return Ok(());
        }
        None => {}
    }
    let report = measure(&options, &runtime)?;
    println!("{}", report.table());
    report.write(&options.output)?;
    println!("rows: {}", options.output.display());
    Ok(())
}

fn measure(options: &Options, runtime: &Runtime) -> anyhow::Result<Report> {
    let wants = |storage: &str| options.only.as_deref().is_none_or(|only| only == storage);
    let (samples, rounds) = if options.quick { (30, 15) } else { (100, 50) };
    let mut sampling = Sampling::new(runtime, samples, &target().join("criterion"));
    let mut report = Report::default();
    if wants("memory") {
        report.extend(memory::contests(&mut sampling));
        report.extend(duplicates::on_memory(runtime, rounds)?);
        report.extend(heartbeats::on_memory(&mut sampling));
        report.extend(footprint::on_memory()?);
    }
    if wants("redis") {
        report.extend(redis_server::measure(&mut sampling, runtime, rounds)?);
    }
    if wants("http") {
        report.extend(http::measure(&mut sampling, runtime)?);
        report.extend(footprint::of_requests()?);
    }
    let callers = |callers| options.callers.is_none_or(|only| only == callers);
    report.extend(sql::measure(&mut sampling, wants, callers)?);
    Ok(report)
}

fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).with_file_name("target"),
        PathBuf::from,
    )
}
