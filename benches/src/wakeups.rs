//! Waiters in other processes: how soon after the end of a call they have its result.
//!
//! This process runs a call of 50 ms; 64 duplicates in four other processes wait for it. Each takes the time when it has the result, on
//! the machine's monotonic clock, which is one for all processes.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::Context as _;
use idempotency::Idempotency;
use nix::time::{ClockId, clock_gettime};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

use crate::contest::percentile;
use crate::duplicates::{BODY, DUPLICATES};
use crate::report::Row;

const PROCESSES: usize = 4;

pub(crate) fn row(
    runtime: &Runtime,
    url: &str,
    idem: &Idempotency,
    rounds: usize,
) -> anyhow::Result<Row> {
    let mut waiters =
        (0..PROCESSES).map(|_| Waiter::start(url)).collect::<anyhow::Result<Vec<_>>>()?;
    let mut latencies = Vec::new();
    for round in 0..rounds {
        let key = format!("wakeups:{:x}:{round}", fastrand::u64(..));
        let ended = runtime.block_on(async {
            let body = async {
                // From here on they are duplicates.
                let told = waiters.iter_mut().try_for_each(|waiter| waiter.tell(&key));
                tokio::time::sleep(BODY).await;
                told.map_err(anyhow::Error::from)
            };
            idem.operation("slow").key(key.as_str()).run(body).await?;
            now()
        })?;
        for waiter in &mut waiters {
            // The message can be faster than the reply to the one that caused it.
            latencies.extend(waiter.times()?.into_iter().map(|time| time.saturating_sub(ended)));
        }
    }
    latencies.sort_unstable();
    let median = percentile(&latencies, 50);
    let mut row = Row {
        p50_us: median,
        p99_us: percentile(&latencies, 99),
        note: format!("from the end of the call to the result, in {PROCESSES} processes"),
        ..Row::new("redis", "wake-up elsewhere", DUPLICATES)
    };
    row.promise("p50 ≤ 3 ms", median.is_some_and(|median| median <= 3_000.0));
    Ok(row)
}

/// Another process. It ends when its input does.
struct Waiter {
    process: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Waiter {
    fn start(url: &str) -> anyhow::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .args(["waiter", url])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let input = process.stdin.take();
        let output = BufReader::new(process.stdout.take().context("a process without output")?);
        let mut waiter = Self { process, input, output };
        // It says one line when it is connected.
        waiter.times()?;
        Ok(waiter)
    }

    fn tell(&mut self, key: &str) -> std::io::Result<()> {
        self.input.as_mut().map_or(Ok(()), |input| writeln!(input, "{key}"))
    }

    fn times(&mut self) -> anyhow::Result<Vec<Duration>> {
        let mut line = String::new();
        self.output.read_line(&mut line)?;
        anyhow::ensure!(line.ends_with('\n'), "a waiting process has ended");
        line.split_whitespace().map(|nanos| Ok(Duration::from_nanos(nanos.parse()?))).collect()
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.input = None;
        // It ends by itself now; that it did not start is not news here.
        let _ = self.process.wait();
    }
}

/// The other process: for each key that it is told, the times when its duplicates have the result.
pub(crate) fn wait_for_ends(runtime: &Runtime, url: &str) -> anyhow::Result<()> {
    let idem = runtime.block_on(Idempotency::connect(url))?;
    println!();
    for key in std::io::stdin().lock().lines() {
        let key = key?;
        let waits = (0..DUPLICATES / PROCESSES).map(|_| wait(idem.clone(), key.clone()));
        let times = runtime.block_on(async { waits.collect::<JoinSet<_>>().join_all().await });
        let times = times.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let times: Vec<_> = times.iter().map(|time| time.as_nanos().to_string()).collect();
        println!("{}", times.join(" "));
    }
    Ok(())
}

/// When a duplicate has the result.
async fn wait(idem: Idempotency, key: String) -> anyhow::Result<Duration> {
    let operation = idem.operation("slow").key(key).wait(Duration::from_secs(10));
    operation.run(async { anyhow::bail!("a duplicate ran") as anyhow::Result<()> }).await?;
    now()
}

fn now() -> anyhow::Result<Duration> {
    Ok(clock_gettime(ClockId::CLOCK_MONOTONIC)?.into())
}
