//! Forgetting a claim.

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{
    SHORT, Stage, completion, failure, indeterminate, lost_to, releasing, result, rival, stranger,
};
use super::cases;
use crate::record::CrashPolicy;
use crate::storage::{Claim, Complete, Lost, Storage, Written};

const OWN: &str =
    "`Processing` by the same owner, its lease live or over: the record is gone; `Done`.";
const ELSE: &str = "Anything else: `LeaseLost`, nothing changes.";

cases! { "release";
    OWN => [owner_releases, owner_releases_after_its_lease, taker_releases],
    ELSE => [
        rival_cannot_release,
        dead_owner_cannot_release_after_a_takeover,
        finished_record_cannot_be_released,
        indeterminate_record_cannot_be_released,
        record_that_is_gone_is_lost,
    ],
}

async fn owner_releases<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    releases(stage, &claim).await
}

async fn owner_releases_after_its_lease<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = stage.crashed(name, on_crash).await?;
        releases(stage, &claim).await?;
    }
    Ok(())
}

async fn taker_releases<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (_, taker) = stage.taken_over("key").await?;
    releases(stage, &taker).await
}

async fn releases<H: Harness>(stage: &Stage<H>, claim: &Claim) -> Verdict {
    same("release", &stage.storage().release(&releasing(claim)).await?, &Written::Done)?;
    same("load", &stage.storage().load(&claim.key).await?, &None)?;
    // Everything of the record is gone: another operation may have the key.
    stage.acquire(stranger(claim)?).await.map(drop)
}

async fn rival_cannot_release<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    loses(stage, &rival(&claim), Written::LeaseLost(Lost::TakenOver)).await
}

async fn dead_owner_cannot_release_after_a_takeover<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (dead, _) = stage.taken_over("key").await?;
    loses(stage, &dead, Written::LeaseLost(Lost::TakenOver)).await
}

async fn finished_record_cannot_be_released<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, finish) in [("completed", result("1")?), ("failed", failure("declined"))] {
        let claim = stage.finished(name, &finish).await?;
        let lost = lost_to(&finish, &stage.record(&claim.key).await?)?;
        loses(stage, &claim, lost.clone()).await?;
        loses(stage, &rival(&claim), lost).await?;
    }
    Ok(())
}

async fn indeterminate_record_cannot_be_released<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.parked("key").await?;
    let lost = lost_to(&indeterminate(), &stage.record(&dead.key).await?)?;
    loses(stage, &dead, lost.clone()).await?;
    loses(stage, &rival(&dead), lost).await
}

async fn record_that_is_gone_is_lost<H: Harness>(stage: &Stage<H>) -> Verdict {
    let never = stage.claim("never there")?;
    let expired =
        stage.acquire(Claim { lease: SHORT, ttl: SHORT, ..stage.claim("expired")? }).await?;
    let forgotten = stage.processing("forgotten").await?;
    let complete = Complete { ttl: SHORT, ..completion(&forgotten, &result("1")?) };
    stage.storage().complete(&complete).await?;
    stage.outlive(SHORT + SHORT).await;
    for claim in [never, expired, forgotten] {
        loses(stage, &claim, Written::LeaseLost(Lost::Gone)).await?;
    }
    Ok(())
}

async fn loses<H: Harness>(stage: &Stage<H>, claim: &Claim, lost: Written) -> Verdict {
    let release = releasing(claim);
    let answer = stage.unchanged(&claim.key, stage.storage().release(&release)).await?;
    same("the release", &answer, &lost)
}
