//! The fingerprint is checked before everything else.

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{Stage, failure, result, stranger};
use super::cases;
use crate::record::CrashPolicy;
use crate::storage::{Claim, Claimed};

const MISMATCH: &str =
    "Another fingerprint, in any state: `Mismatch`, checked before everything else.";

cases! { "claim";
    MISMATCH => [
        mismatch_while_processing,
        mismatch_after_the_lease,
        mismatch_when_completed,
        mismatch_when_failed,
        mismatch_when_indeterminate,
        mismatch_when_released,
    ],
}

async fn mismatch_while_processing<H: Harness>(stage: &Stage<H>) -> Verdict {
    mismatches(stage, stage.processing("key").await?).await
}

async fn mismatch_after_the_lease<H: Harness>(stage: &Stage<H>) -> Verdict {
    mismatches(stage, stage.crashed("retry", CrashPolicy::Retry).await?).await?;
    mismatches(stage, stage.crashed("park", CrashPolicy::Park).await?).await
}

async fn mismatch_when_completed<H: Harness>(stage: &Stage<H>) -> Verdict {
    mismatches(stage, stage.finished("key", &result("1")?).await?).await
}

async fn mismatch_when_failed<H: Harness>(stage: &Stage<H>) -> Verdict {
    mismatches(stage, stage.finished("key", &failure("declined")).await?).await
}

async fn mismatch_when_indeterminate<H: Harness>(stage: &Stage<H>) -> Verdict {
    mismatches(stage, stage.parked("key").await?).await
}

async fn mismatch_when_released<H: Harness>(stage: &Stage<H>) -> Verdict {
    mismatches(stage, stage.released(stage.claim("key")?).await?).await
}

/// A claim with another fingerprint is a mismatch, even by the record's owner, and changes nothing.
async fn mismatches<H: Harness>(stage: &Stage<H>, claim: Claim) -> Verdict {
    let stranger = stranger(&claim)?;
    let confused_owner = Claim { owner: claim.owner, ..stranger.clone() };
    for claim in [stranger, confused_owner] {
        let answer = stage.unchanged(&claim.key, stage.storage().claim(&claim)).await?;
        same("a claim with another fingerprint", &answer, &Claimed::Mismatch)?;
    }
    Ok(())
}
