//! The suite must be able to fail: every flaw is found by the case that is there for it, and every case finds a flaw.
//!
//! On a paused clock: a storage that pauses between two steps goes on only when everybody else waits too, so that nobody misses the gap,
//! however busy the machine is.

use std::collections::{HashMap, HashSet};

use idem_runtime::testing::conformance::{self, CaseOutcome, Report};
use tokio::task::{JoinSet, LocalSet};

use super::flawed::{FLAWS, FOUND_ON_A_SHARED_STORE, Flaw, OnFlawed};

async fn run(flaw: Flaw) -> Report {
    conformance::run(async || OnFlawed::new(flaw)).await
}

#[tokio::test(start_paused = true)]
async fn storage_without_a_flaw_passes_every_case() {
    let report = run(Flaw::None).await;
    report.assert_passed();
    assert!(report.cases().iter().all(|case| *case.outcome() == CaseOutcome::Passed), "{report}");
}

#[tokio::test(start_paused = true)]
async fn every_flaw_is_found_and_every_case_finds_one() {
    let flaws: HashSet<_> = FLAWS.iter().map(|(flaw, _)| *flaw).collect();
    let mut running = JoinSet::new();
    let local = LocalSet::new();
    for flaw in flaws {
        running.spawn_local_on(async move { (flaw, run(flaw).await) }, &local);
    }
    let reports: HashMap<_, _> = local.run_until(running.join_all()).await.into_iter().collect();

    let finds = |report: &Report, case: &str| report.failures().any(|found| found.name() == case);
    let overlooked: Vec<_> =
        FLAWS.iter().filter(|(flaw, case)| !finds(&reports[flaw], case)).collect();
    assert!(overlooked.is_empty(), "{overlooked:#?}");

    let cases = reports[&FLAWS[0].0].cases().iter().map(conformance::CaseReport::name);
    let idle: Vec<_> =
        cases.filter(|case| !reports.values().any(|report| finds(report, case))).collect();
    assert!(idle.is_empty(), "cases that found nothing: {idle:#?}");
}

/// On a clock of its own, on which nothing can be met exactly.
async fn run_on_a_shared_store(flaw: Flaw) -> Report {
    let first = OnFlawed::shared(flaw);
    conformance::run(async || first.another()).await
}

#[tokio::test(start_paused = true)]
async fn shared_store_without_a_flaw_passes_every_case() {
    run_on_a_shared_store(Flaw::None).await.assert_passed();
}

#[tokio::test(start_paused = true)]
async fn flaws_of_a_shared_store_are_found() {
    for (flaw, case) in FOUND_ON_A_SHARED_STORE {
        let report = run_on_a_shared_store(*flaw).await;
        assert!(report.failures().any(|found| found.name() == *case), "{flaw:?}: {report}");
    }
}

#[tokio::test(start_paused = true)]
async fn failures_name_key_call_and_difference() {
    let told = |report: &Report, case: &str| {
        let found = report.failures().find(|found| found.name() == case);
        let Some(CaseOutcome::Failed(what)) = found.map(conformance::CaseReport::outcome) else {
            panic!("{case} found nothing: {report}");
        };
        what.clone()
    };
    let report = run(Flaw::RenewIgnoresTheOwner).await;
    let what = told(&report, "renew::rival_cannot_renew");
    for part in ["::key:key", "renew of", "lease_until was", "ms later"] {
        assert!(what.contains(part), "no `{part}` in {what}");
    }
    let report = run(Flaw::LeaseEndsEarly(400)).await;
    let what = told(&report, "deadline::lease_is_over_at_its_deadline");
    for part in ["the lease of", "before its deadline", "claim of", "recovered: true"] {
        assert!(what.contains(part), "no `{part}` in {what}");
    }
}
