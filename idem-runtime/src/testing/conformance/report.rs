//! What the suite found.

use std::fmt;
use std::time::Duration;

/// What the suite found about one storage. Its `Display` is a table with one line for each case.
#[derive(Clone, Debug)]
#[must_use = "a failed suite is only known by its report"]
pub struct Report {
    pub(super) backend: &'static str,
    pub(super) cases: Vec<CaseReport>,
    pub(super) took: Duration,
}

/// What one case found.
#[derive(Clone, Debug)]
pub struct CaseReport {
    pub(super) name: &'static str,
    pub(super) contract: &'static str,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

/// How a case ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The storage did as its contract says.
    Passed,
    /// It did not: what was wrong, and the calls before with their keys and answers.
    Failed(String),
    /// The harness says that this backend has nothing of the kind, or that the harm in question cannot come to it.
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
        self.cases.iter().filter(|case| matches!(case.outcome, Outcome::Failed(_)))
    }

    /// Whether no case failed.
    pub fn passed(&self) -> bool {
        self.failures().next().is_none()
    }

    /// How long the whole suite took.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// For the end of a test.
    ///
    /// # Panics
    ///
    /// With the report, when a case failed.
    pub fn assert_passed(&self) {
        assert!(self.passed(), "{self}");
    }
}

impl CaseReport {
    /// The case's name: verb and what must hold.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The bullet of the contract that it tests, word for word.
    pub fn contract(&self) -> &'static str {
        self.contract
    }

    /// How it ended.
    pub fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    /// How long it took.
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
            Outcome::Passed => write!(f, "  ok           {name} ({took:.1?})"),
            Outcome::Unsupported(why) => write!(f, "  unsupported  {name}: {why}"),
            Outcome::Failed(what) => {
                write!(
                    f,
                    "  FAILED       {name} ({took:.1?})\n    must: {contract}\n    but: {what}"
                )
            }
        }
    }
}
