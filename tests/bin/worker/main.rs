//! A process of a service that makes the calls of the [`Job`] in its only argument.
//!
//! It tells on its standard output how that goes, waits for a line on its standard input before the first call, and ends after the last.
#![allow(
    clippy::print_stdout,
    clippy::expect_used,
    reason = "it talks to the tests, and a failed one is their failure"
)]

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use idem_runtime::{Error, Idempotency, Outcome, Source, current};
use idem_tests::{Body, Ended, Job, Report};
use testkit::ledger::Ledger;
use tokio::time::sleep;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let job = std::env::args().nth(1).expect("the job is the argument");
    let job: Job = serde_json::from_str(&job).expect("the argument is a job");
    let builder = Idempotency::connect_builder(&job.url).await.expect("the storage is there");
    let idem = builder.namespace(&job.namespace).build().expect("the settings make sense");
    tell(&Report::Ready { wall_clock: wall_clock() });
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new()))
        .await
        .expect("reading does not panic")
        .expect("the test keeps the standard input open");
    let job = Arc::new(job);
    let calls: Vec<_> =
        (0..job.calls).map(|_| tokio::spawn(call(idem.clone(), Arc::clone(&job)))).collect();
    for call in calls {
        tell(&Report::Ended(call.await.expect("a call does not panic")));
    }
}

async fn call(idem: Idempotency, job: Arc<Job>) -> Ended {
    let outcome = idem
        .operation(Job::OPERATION)
        .key(job.key.as_str())
        .lease(job.lease)
        .ttl(job.ttl)
        .wait(job.wait)
        .on_crash(job.on_crash())
        .run_with_outcome(body(&job))
        .await;
    match outcome {
        Ok(Outcome { value, source: Source::Executed { recovered } }) => {
            Ended::Executed { value, recovered }
        }
        Ok(Outcome { value, source: Source::Replayed { .. } }) => Ended::Replayed { value },
        Ok(Outcome { value, .. }) => Ended::Unrecorded { value },
        Err(error) => Ended::refused(error.kind()),
    }
}

async fn body(job: &Job) -> Result<String, Error> {
    let run = Ledger::open(&job.ledger).start(&job.key, &job.value);
    let context = current().expect("a body has a context");
    tell(&Report::Began { fence: context.fence().get() });
    let lost = tokio::spawn(async move {
        context.lease_lost().await;
        tell(&Report::LeaseLost);
    });
    match &job.body {
        Body::Sleeps(duration) => sleep(*duration).await,
        Body::AwaitsFile(path) => appeared(path).await,
    }
    lost.abort();
    run.finish("");
    Ok(job.value.clone())
}

async fn appeared(path: &Path) {
    while !path.exists() {
        sleep(Duration::from_millis(5)).await;
    }
}

fn tell(report: &Report) {
    let line = serde_json::to_string(report).expect("a report is JSON");
    let mut out = std::io::stdout().lock();
    // A test that has ended reads no more.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

#[expect(clippy::disallowed_methods, reason = "to show the tests that it is off")]
fn wall_clock() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since_epoch.unwrap_or_default().as_secs()
}
