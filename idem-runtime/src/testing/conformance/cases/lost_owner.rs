//! Completions by callers that do not own the record: fenced writes.

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{
    SHORT, Stage, completion, failure, indeterminate, lost_to, result, rival,
};
use super::cases;
use crate::storage::{Claim, Complete, Lost, Written};

const ELSE: &str = "Anything else: `LeaseLost` with the present state of the key; nothing changes, \
    and a missing record is not created.";

cases! { "complete";
    ELSE => [
        rival_cannot_complete,
        dead_owner_cannot_complete_after_a_takeover,
        dead_owner_gets_the_takers_result,
        another_finish_does_not_replace_the_first,
        rival_cannot_complete_indeterminate,
        released_record_cannot_be_completed,
        record_that_is_gone_stays_gone,
    ],
}

async fn rival_cannot_complete<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    loses(stage, &rival(&claim), Written::LeaseLost(Lost::TakenOver)).await
}

async fn dead_owner_cannot_complete_after_a_takeover<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (dead, _) = stage.taken_over("key").await?;
    loses(stage, &dead, Written::LeaseLost(Lost::TakenOver)).await
}

async fn dead_owner_gets_the_takers_result<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, finish) in
        [("completed", result("the taker's")?), ("failed", failure("the taker's"))]
    {
        let (dead, taker) = stage.taken_over(name).await?;
        let answer = stage.storage().complete(&completion(&taker, &finish)).await?;
        same("the taker's complete", &answer, &Written::Done)?;
        let lost = lost_to(&finish, &stage.record(&dead.key).await?)?;
        loses(stage, &dead, lost.clone()).await?;
        // Not even with the same finish: the finish belongs to the taker.
        let answer = stage.storage().complete(&completion(&dead, &finish)).await?;
        same("the dead owner's complete with the same finish", &answer, &lost)?;
    }
    Ok(())
}

async fn another_finish_does_not_replace_the_first<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, finish) in [("completed", result("1")?), ("failed", failure("declined"))] {
        let claim = stage.finished(name, &finish).await?;
        let lost = lost_to(&finish, &stage.record(&claim.key).await?)?;
        loses(stage, &claim, lost).await?;
    }
    Ok(())
}

async fn rival_cannot_complete_indeterminate<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.parked("key").await?;
    let lost = lost_to(&indeterminate(), &stage.record(&dead.key).await?)?;
    loses(stage, &rival(&dead), lost).await
}

async fn released_record_cannot_be_completed<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.released(stage.claim("key")?).await?;
    loses(stage, &claim, Written::LeaseLost(Lost::Gone)).await?;
    loses(stage, &rival(&claim), Written::LeaseLost(Lost::Gone)).await?;
    stage.acquire_released(rival(&claim), 2).await.map(drop)
}

async fn record_that_is_gone_stays_gone<H: Harness>(stage: &Stage<H>) -> Verdict {
    let never = stage.claim("never there")?;
    let released = stage.released(Claim { ttl: SHORT, ..stage.claim("released")? }).await?;
    let expired =
        stage.acquire(Claim { lease: SHORT, ttl: SHORT, ..stage.claim("expired")? }).await?;
    let forgotten = stage.processing("forgotten").await?;
    let complete = Complete { ttl: SHORT, ..completion(&forgotten, &result("1")?) };
    stage.storage().complete(&complete).await?;
    stage.outlive(SHORT + SHORT).await;
    for claim in [never, released, expired, forgotten] {
        loses(stage, &claim, Written::LeaseLost(Lost::Gone)).await?;
        same("load", &stage.storage().load(&claim.key).await?, &None)?;
        stage.acquire(rival(&claim)).await?;
    }
    Ok(())
}

/// Neither a result nor a failure of `claim`'s owner changes anything.
async fn loses<H: Harness>(stage: &Stage<H>, claim: &Claim, lost: Written) -> Verdict {
    for finish in [result("stale")?, failure("stale")] {
        let complete = completion(claim, &finish);
        let answer = stage.unchanged(&claim.key, stage.storage().complete(&complete)).await?;
        same("the stale complete", &answer, &lost)?;
    }
    Ok(())
}
