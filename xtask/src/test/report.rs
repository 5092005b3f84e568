//! The table at the end.

use std::{fmt, time::Duration};

use super::verdict::Verdict;
use crate::run::Tests;

/// All steps that were run, in their order.
#[derive(Debug, Default)]
pub(super) struct Report {
    rows: Vec<(&'static str, Verdict, Duration)>,
}

impl Report {
    pub(super) fn add(&mut self, step: &'static str, verdict: Verdict, took: Duration) {
        self.rows.push((step, verdict, took));
    }

    pub(super) fn is_success(&self) -> bool {
        !self.rows.iter().any(|(_, verdict, _)| matches!(verdict, Verdict::Failed(_)))
    }

    /// All tests. A step that failed without naming a test, such as one that did not compile, counts as a failed test, so that no total reads as
    /// if all were well.
    fn total(&self) -> Tests {
        let mut total = Tests::default();
        for (_, verdict, _) in &self.rows {
            match *verdict {
                Verdict::Ok(tests) => total += tests,
                Verdict::Failed(Tests { passed, failed }) => {
                    total += Tests { passed, failed: failed.max(1) };
                }
                Verdict::Skipped(_) => {}
            }
        }
        total
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<12}{:<9}{:>7}{:>7}{:>9}", "step", "status", "passed", "failed", "seconds")?;
        for (step, verdict, took) in &self.rows {
            let (word, tests, note) = match verdict {
                Verdict::Ok(tests) => ("ok", *tests, ""),
                Verdict::Failed(tests) => ("FAILED", *tests, ""),
                Verdict::Skipped(reason) => ("skipped", Tests::default(), reason.as_str()),
            };
            let Tests { passed, failed } = tests;
            let seconds = took.as_secs_f64();
            write!(f, "{step:<12}{word:<9}{passed:>7}{failed:>7}{seconds:>9.1}")?;
            writeln!(f, "{}{note}", if note.is_empty() { "" } else { "  " })?;
        }
        let Tests { passed, failed } = self.total();
        write!(f, "\n{passed} passed, {failed} failed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(rows: Vec<Verdict>) -> Report {
        let mut report = Report::default();
        for row in rows {
            report.add("step", row, Duration::from_secs(1));
        }
        report
    }

    #[test]
    fn the_last_line_sums_the_tests_up() {
        let all = report(vec![
            Verdict::Ok(Tests { passed: 3, failed: 0 }),
            Verdict::Failed(Tests { passed: 2, failed: 4 }),
            Verdict::Skipped("no such server".into()),
        ]);
        let text = all.to_string();
        assert_eq!(text.lines().last(), Some("5 passed, 4 failed"));
        assert!(text.contains("skipped") && text.contains("  no such server\n"), "{text}");
        assert!(!all.is_success());
    }

    #[test]
    fn a_failed_step_without_tests_is_not_reported_as_no_failure() {
        let broken = report(vec![Verdict::Ok(Tests::default()), Verdict::Failed(Tests::default())]);
        assert_eq!(broken.to_string().lines().last(), Some("0 passed, 1 failed"));
        assert!(!broken.is_success());
    }

    #[test]
    fn a_skipped_step_is_no_failure() {
        assert!(report(vec![Verdict::Skipped("reason".into())]).is_success());
    }
}
