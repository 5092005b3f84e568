//! The report of a run.

use std::fmt;
use std::time::Duration;

/// The results of all cases on one storage. Its `Display` is a table with one line for each case.
#[derive(Clone, Debug)]
#[must_use = "a failed suite is only known by its report"]
pub struct Report {
    pub(super) backend: &'static str,
    pub(super) cases: Vec<CaseReport>,
    pub(super) took: Duration,
}

/// The result of one case.
#[derive(Clone, Debug)]
pub struct CaseReport {
    pub(super) name: &'static str,
    pub(super) contract: &'static str,
    pub(super) outcome: CaseOutcome,
    pub(super) took: Duration,
}

/// The outcome of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaseOutcome {
    /// The storage meets the contract.
    Passed,
    /// The storage violates the contract: the difference, and the preceding calls with their keys
    /// and answers.
    Failed(String),
    /// The harness reports that the backend lacks the capability or cannot suffer the harm, with
    /// its reason.
    Unsupported(String),
}

impl Report {
    /// Short name of the backend.
    pub fn backend(&self) -> &'static str {
        self.backend
    }

    /// All cases, in the order of the contract.
    pub fn cases(&self) -> &[CaseReport] {
        &self.cases
    }

    /// The cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| matches!(case.outcome, CaseOutcome::Failed(_)))
    }

    /// Whether no case failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// Duration of the whole suite.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Asserts that no case failed.
    ///
    /// # Panics
    ///
    /// Panics with the report when a case failed.
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl CaseReport {
    /// The case's name: its verb and the requirement.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The bullet of the contract under test, verbatim.
    pub fn contract(&self) -> &'static str {
        self.contract
    }

    /// The outcome.
    pub fn outcome(&self) -> &CaseOutcome {
        &self.outcome
    }

    /// Duration of the case.
    pub fn took(&self) -> Duration {
        self.took
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.cases.len();
        let failed = self.failures().count();
        writeln!(f, "{}: {failed} of {count} cases failed, {:.1?}", self.backend, self.took)?;
        self.cases.iter().try_for_each(|case| writeln!(f, "{case}"))
    }
}

impl fmt::Display for CaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, contract, outcome, took } = self;
        match outcome {
            CaseOutcome::Passed => write!(f, "  ok           {name} ({took:.1?})"),
            CaseOutcome::Unsupported(why) => write!(f, "  unsupported  {name}: {why}"),
            CaseOutcome::Failed(what) => {
                write!(
                    f,
                    "  FAILED       {name} ({took:.1?})\n    must: {contract}\n    but: {what}"
                )
            }
        }
    }
}
