//! Bytes per stored record and per call under way, measured in a process of its own: memory that an earlier measurement gave back to the
//! allocator would hide what is taken.

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context as _;
use axum::Router;
use clap::ValueEnum;
use idempotency::{Error, Idempotency};
use tokio::runtime::Runtime;
use tower_service::Service as _;

use crate::http;
use crate::payload::{Arguments, charge};
use crate::report::Row;

const RECORDS: usize = 100_000;
const CALLS: usize = 20_000;

/// What is measured.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Of {
    /// A finished record in the memory storage: key of 24 bytes, result of about 256.
    Record,
    /// A call whose body is at work, its task included.
    Call,
    /// A task that does nothing.
    Task,
    /// A request whose handler is at work behind the layer, its task included.
    Request,
    /// The same without the layer.
    BareRequest,
}

pub(crate) fn on_memory() -> anyhow::Result<Vec<Row>> {
    if !cfg!(target_os = "linux") {
        // Elsewhere a process is not told what it takes without more ado.
        return Ok(Vec::new());
    }
    let row = |scenario, bytes, note: &str| Row {
        bytes: Some(bytes),
        note: note.to_owned(),
        ..Row::new("memory", scenario, 1)
    };
    let record = in_a_process(Of::Record)?;
    let (call, task) = (in_a_process(Of::Call)?, in_a_process(Of::Task)?);
    Ok(vec![
        row("stored record", record, "resident, key and 256 B result included"),
        row(
            "call under way",
            call.saturating_sub(task),
            &format!("resident, without its task's {task}"),
        ),
    ])
}

/// Of requests on their way, without what their connections take.
pub(crate) fn of_requests() -> anyhow::Result<Vec<Row>> {
    if !cfg!(target_os = "linux") {
        return Ok(Vec::new());
    }
    let (ours, bare) = (in_a_process(Of::Request)?, in_a_process(Of::BareRequest)?);
    let note = format!("resident, beyond bare axum's {bare}; without its connection");
    let bytes = Some(ours.saturating_sub(bare));
    Ok(vec![Row { bytes, note, ..Row::new("memory", "HTTP request under way", 1) }])
}

fn in_a_process(of: Of) -> anyhow::Result<u64> {
    let name = of.to_possible_value().context("every value has a name")?;
    let output =
        Command::new(std::env::current_exe()?).args(["footprint", name.get_name()]).output()?;
    let text = String::from_utf8(output.stdout)?;
    text.trim().parse().with_context(|| format!("the measuring process said {text:?}"))
}

/// The process's side.
pub(crate) fn print(runtime: &Runtime, of: Of) -> anyhow::Result<()> {
    let idem = Idempotency::memory();
    // What is made once is made before.
    runtime.block_on(charge(&idem, &Arguments::new(0)))?;
    let before = resident()?;
    let count = match of {
        Of::Record => {
            for number in 1..=RECORDS {
                runtime.block_on(charge(&idem, &Arguments::new(number)))?;
            }
            RECORDS
        }
        Of::Call => {
            for number in 0..CALLS {
                let operation = idem.operation("call").key(format!("call:{number:08}"));
                runtime.spawn(operation.run(std::future::pending::<Result<(), Error>>()));
            }
            while idem.in_flight() < CALLS {
                std::thread::yield_now();
            }
            CALLS
        }
        Of::Request => requests(runtime, http::stuck_behind_layer(&idem)),
        Of::BareRequest => requests(runtime, http::stuck()),
        Of::Task => {
            for _ in 0..CALLS {
                runtime.spawn(std::future::pending::<()>());
            }
            CALLS
        }
    };
    println!("{}", resident()?.saturating_sub(before) / count as u64);
    // Tearing down takes longer than the measurement.
    std::process::exit(0);
}

/// Sends so many requests that their handler never answers, and waits until it has all of them.
fn requests(runtime: &Runtime, (router, begun): (Router, Arc<AtomicUsize>)) -> usize {
    for number in 0..CALLS {
        let mut router = router.clone();
        let request = http::request(number);
        runtime.spawn(async move { router.call(request).await });
    }
    while begun.load(Ordering::SeqCst) < CALLS {
        std::thread::yield_now();
    }
    CALLS
}

/// Resident memory of this process, in bytes.
fn resident() -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")
        .context("a process can look at itself in /proc")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    Ok(kibibytes.context("no resident size")?.parse::<u64>()? * 1024)
}
