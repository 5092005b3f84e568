//! The suite must be able to fail: every flaw is found by the case that is there for it, and every case finds a flaw.

use std::collections::BTreeSet;

use idem_runtime::testing::conformance::{self, Outcome, Report};

use super::flawed::{FLAWS, Flaw, OnFlawed};

async fn run(flaw: Flaw) -> Report {
    conformance::run(async || OnFlawed::new(flaw)).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn storage_without_a_flaw_passes_every_case() {
    let report = run(Flaw::None).await;
    report.assert_passed();
    assert!(report.cases().iter().all(|case| *case.outcome() == Outcome::Passed), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_flaw_is_found_and_every_case_finds_one() {
    let mut never_failed: BTreeSet<_> =
        run(Flaw::None).await.cases().iter().map(conformance::CaseReport::name).collect();
    let mut overlooked = Vec::new();
    let mut reports: Vec<(Flaw, Report)> = Vec::new();
    for &(flaw, case) in FLAWS {
        if !reports.iter().any(|(of, _)| *of == flaw) {
            reports.push((flaw, run(flaw).await));
        }
        let failed = |report: &Report| report.failures().any(|failure| failure.name() == case);
        if !reports.iter().any(|(of, report)| *of == flaw && failed(report)) {
            overlooked.push((flaw, case));
        }
    }
    for (_, report) in &reports {
        for failure in report.failures() {
            never_failed.remove(failure.name());
        }
    }
    assert!(
        overlooked.is_empty() && never_failed.is_empty(),
        "overlooked: {overlooked:#?}\ncases that found nothing: {never_failed:#?}"
    );
}
