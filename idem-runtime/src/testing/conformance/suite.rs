//! The entry point.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::cases::{self, Case, Turn};
use super::check::Complaint;
use super::harness::Harness;
use super::report::{CaseOutcome, CaseReport, Report};
use super::stage::Stage;

/// Far more than a case needs: a storage that hangs fails its case and does not hang the suite.
const PATIENCE: Duration = Duration::from_secs(120);

/// Number of concurrent cases: enough for their waiting to overlap, without a burst of connections
/// to a shared server.
const AT_ONCE: usize = 32;

/// Runs the whole suite on the storage of the harnesses that `factory` makes, one for each case.
///
/// Cases that purge run last, one by one: other cases rely on expired records that are not yet
/// removed, and where harnesses share a store the count of a purge covers the records of all cases.
/// So nothing else may write to that store or purge it while the suite runs.
pub async fn run<H: Harness>(factory: impl AsyncFn() -> H) -> Report {
    let start = Instant::now();
    let mut backend = "";
    let mut running = JoinSet::new();
    let (mut cases, mut alone) = (Vec::new(), Vec::new());
    for (number, case) in cases::all::<H>().into_iter().enumerate() {
        if case.turn == Turn::Alone {
            alone.push((number, case));
            continue;
        }
        if running.len() == AT_ONCE
            && let Some(ended) = running.join_next().await
        {
            cases.push(ended.unwrap_or_else(|panic| resume_unwind(panic.into_panic())));
        }
        let stage = Stage::new(factory().await);
        backend = stage.storage().backend();
        running.spawn(async move { (number, report(case, stage).await) });
    }
    cases.extend(running.join_all().await);
    for (number, case) in alone {
        cases.push((number, report(case, Stage::new(factory().await)).await));
    }
    cases.sort_by_key(|(number, _)| *number);
    let cases = cases.into_iter().map(|(_, case)| case).collect();
    Report { backend, cases, took: start.elapsed() }
}

async fn report<H: Harness>(case: Case<H>, stage: Stage<H>) -> CaseReport {
    let start = Instant::now();
    let trail = stage.trail();
    let failed = |what: &str| CaseOutcome::Failed(format!("{what}\n    after:{}", trail.render()));
    let run = AssertUnwindSafe((case.run)(stage)).catch_unwind();
    let outcome = match timeout(PATIENCE, run).await {
        Ok(Ok(Ok(()))) => CaseOutcome::Passed,
        Ok(Ok(Err(Complaint::Violated(what)))) => failed(&what),
        Ok(Ok(Err(Complaint::Unsupported(why)))) => CaseOutcome::Unsupported(why.to_owned()),
        Ok(Err(_)) => failed("a call panicked"),
        Err(_) => failed(&format!("the case did not finish within {PATIENCE:?}")),
    };
    CaseReport { name: case.name, contract: case.contract, outcome, took: start.elapsed() }
}
