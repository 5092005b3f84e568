//! What becomes of a step.

use crate::run::{Outcome, Tests};

#[derive(Debug)]
pub(super) enum Verdict {
    Ok(Tests),
    Failed(Tests),
    /// There was nothing to do, and why.
    Skipped(String),
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        if outcome.success { Self::Ok(outcome.tests) } else { Self::Failed(outcome.tests) }
    }
}
