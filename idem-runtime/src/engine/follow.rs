//! A duplicate that follows the in-flight call of its key in this process.

use std::time::Duration;

use super::flight::{Flight, Phase, later};
use crate::error::Error;
use crate::record::Finished;
use crate::sync::time::{Instant, timeout_at};

/// What a duplicate does next.
pub(super) enum Followed {
    /// Replays this outcome.
    Replay(Finished),
    /// Fails with the error of the call that it followed.
    Fail(Error),
    /// Fails as `AlreadyProcessing`: it may not wait, or not any longer.
    GiveUp { lease_until: Instant },
    /// Claims for itself.
    Claim,
    /// Claims for itself beside the call, whose runtime stands still.
    ClaimBeside,
}

/// Waits for the outcome of `flight` until `deadline`, or for the answer to its claim where the
/// duplicate may not wait, or not any longer.
pub(super) async fn follow(
    flight: &Flight,
    deadline: Option<Instant>,
    claim_timeout: Duration,
) -> Followed {
    // The followed call's limit may end a moment later than this one's.
    let patience = claim_timeout.saturating_mul(3) / 2;
    let answered_by = later(Instant::now(), patience);
    let mut deadline = deadline;
    loop {
        let heard_by = flight.heard_by(answered_by, patience);
        if heard_by <= Instant::now() {
            return Followed::ClaimBeside;
        }
        let (until, waiting) = match deadline {
            Some(deadline) => (deadline.min(heard_by), Waiting::ForOutcome),
            None => (heard_by, Waiting::ForClaim),
        };
        let observed = flight.until(|phase| observe(phase, waiting));
        if let Ok(followed) = timeout_at(until, observed).await {
            return followed;
        }
        deadline = deadline.filter(|deadline| *deadline > Instant::now());
    }
}

/// How long a duplicate may follow.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waiting {
    ForClaim,
    ForOutcome,
}

/// What a duplicate does in this phase of the call; `None` while it goes on waiting.
fn observe(phase: &Phase, waiting: Waiting) -> Option<Followed> {
    let may_wait = waiting == Waiting::ForOutcome;
    Some(match phase {
        Phase::Claiming => return None,
        Phase::Finished(finished) => Followed::Replay(finished.clone()),
        Phase::Refused(error) => Followed::Fail(error.clone()),
        Phase::Abandoned | Phase::Lost => Followed::Claim,
        Phase::Busy { .. } if may_wait => Followed::Claim,
        Phase::Elsewhere { .. } | Phase::Running { .. } if may_wait => return None,
        Phase::Busy { lease_until }
        | Phase::Elsewhere { lease_until }
        | Phase::Running { lease_until, .. } => Followed::GiveUp { lease_until: *lease_until },
    })
}
