//! 64 duplicates of one call whose body takes 50 ms, all started at once in this process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use idempotency::{Error, Idempotency};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::contest::{median, percentile};
use crate::report::Row;

pub(crate) const DUPLICATES: usize = 64;
pub(crate) const BODY: Duration = Duration::from_millis(50);

pub(crate) fn on_memory(runtime: &Runtime, rounds: usize) -> anyhow::Result<Vec<Row>> {
    Ok(vec![row(runtime, "memory", &Idempotency::memory(), rounds)?])
}

/// Several rounds, each beside one in which nothing but the body's time passes.
pub(crate) fn row(
    runtime: &Runtime,
    storage: &'static str,
    idem: &Idempotency,
    rounds: usize,
) -> anyhow::Result<Row> {
    let mut latencies = Vec::new();
    let (mut all_back, mut sleeps) = (Vec::new(), Vec::new());
    let mut executions = Vec::new();
    for round in 0..rounds {
        let key = format!("duplicates:{:x}:{round}", fastrand::u64(..));
        let (times, runs) = runtime.block_on(duplicates(idem, &key))?;
        executions.push(runs);
        all_back.extend(times.iter().max().map(Duration::as_secs_f64));
        latencies.extend(times);
        sleeps.push(runtime.block_on(bare_sleeps()).as_secs_f64());
    }
    latencies.sort_unstable();
    let (all_back, bare) = (median(all_back), median(sleeps));
    let most = executions.iter().max().copied().unwrap_or_default();
    let mut row = Row {
        ops_per_s: Some(DUPLICATES as f64 / all_back),
        limit_ops_per_s: Some(DUPLICATES as f64 / bare),
        ratio: Some(bare / all_back),
        p50_us: percentile(&latencies, 50),
        p99_us: percentile(&latencies, 99),
        limit_is: "the body's 50 ms alone",
        note: format!("executions: {most}, all back in {:.1} ms", all_back * 1e3),
        ..Row::new(storage, "duplicates", DUPLICATES)
    };
    row.promise("1 execution, all back in 52 ms", most == 1 && all_back <= 0.052);
    Ok(row)
}

/// How long each took, and how often the body ran.
async fn duplicates(idem: &Idempotency, key: &str) -> anyhow::Result<(Vec<Duration>, u32)> {
    let executions = Arc::new(AtomicU32::new(0));
    let start = Instant::now();
    let calls: JoinSet<_> = (0..DUPLICATES)
        .map(|_| {
            let (idem, key, executions) = (idem.clone(), key.to_owned(), Arc::clone(&executions));
            async move {
                let operation = idem.operation("slow").key(key).wait(Duration::from_secs(10));
                let body = async {
                    executions.fetch_add(1, Ordering::Relaxed);
                    sleep(BODY).await;
                    Ok::<_, Error>(17)
                };
                operation.run(body).await.map(|_| start.elapsed())
            }
        })
        .collect();
    let times = calls.join_all().await.into_iter().collect::<Result<_, _>>()?;
    Ok((times, executions.load(Ordering::Relaxed)))
}

async fn bare_sleeps() -> Duration {
    let start = Instant::now();
    (0..DUPLICATES).map(|_| sleep(BODY)).collect::<JoinSet<_>>().join_all().await;
    start.elapsed()
}
