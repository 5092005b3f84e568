//! Repeated requests, as after a lost reply.

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{Stage, completion, lost_to, releasing, replayed, result, rival};
use super::cases;
use crate::record::{CrashPolicy, Fence};
use crate::storage::{Claimed, Lost, Written};

const SAFE: &str = "Repeating a verb with the same owner and arguments after a lost reply is safe.";

cases! { "repeated";
    SAFE => [
        claim_stays_the_owners,
        takeover_stays_a_recovery,
        claim_of_a_released_key_stays_none,
        claim_after_its_own_completion_replays,
        renewal_is_done_again,
        completion_is_done_again,
        completion_repeated_after_the_lease_is_done,
        healing_is_done_again,
        release_does_not_touch_the_next_owner,
        completion_does_not_touch_the_next_owner,
    ],
}

async fn claim_stays_the_owners<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.claim("key")?;
    for _ in 0..5 {
        let answer = stage.storage().claim(&claim).await?;
        same("the claim", &answer, &Claimed::Acquired { fence: Fence::FIRST, recovered: false })?;
    }
    Ok(())
}

async fn takeover_stays_a_recovery<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (_, taker) = stage.taken_over("key").await?;
    for _ in 0..3 {
        let answer = stage.storage().claim(&taker).await?;
        let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: true };
        same("the claim", &answer, &acquired)?;
        same("renew", &stage.renew(&taker).await?, &Written::Done)?;
    }
    Ok(())
}

async fn claim_of_a_released_key_stays_none<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (_, taker) = stage.taken_over("key").await?;
    stage.storage().release(&releasing(&taker)).await?;
    let next = rival(&taker);
    for _ in 0..3 {
        stage.acquire_released(next.clone(), 3).await?;
        same("renew", &stage.renew(&next).await?, &Written::Done)?;
    }
    Ok(())
}

async fn claim_after_its_own_completion_replays<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.finished("key", &result("1")?).await?;
    let replay = replayed(stage.storage().claim(&claim).await?)?;
    same("the replay", &replay.finish, &result("1")?)
}

async fn renewal_is_done_again<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    for _ in 0..5 {
        same("renew", &stage.renew(&claim).await?, &Written::Done)?;
    }
    Ok(())
}

async fn completion_is_done_again<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let complete = completion(&claim, &result("1")?);
    for _ in 0..5 {
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    }
    Ok(())
}

async fn completion_repeated_after_the_lease_is_done<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.crashed("key", CrashPolicy::Retry).await?;
    let complete = completion(&claim, &result("1")?);
    for _ in 0..2 {
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
        replayed(stage.storage().claim(&rival(&claim)).await?)?;
    }
    Ok(())
}

async fn healing_is_done_again<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.parked("key").await?;
    let complete = completion(&dead, &result("1")?);
    for _ in 0..2 {
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    }
    Ok(())
}

async fn release_does_not_touch_the_next_owner<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let release = releasing(&claim);
    same("release", &stage.storage().release(&release).await?, &Written::Done)?;
    let again = stage.storage().release(&release).await?;
    same("the release again", &again, &Written::Done)?;
    stage.acquire_released(rival(&claim), 2).await?;
    let answer = stage.unchanged(&claim.key, stage.storage().release(&release)).await?;
    same("the release after the next claim", &answer, &Written::LeaseLost(Lost::TakenOver))
}

async fn completion_does_not_touch_the_next_owner<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    stage.storage().release(&releasing(&claim)).await?;
    let next = stage.acquire_released(rival(&claim), 2).await?;
    let complete = completion(&claim, &result("1")?);
    let answer = stage.unchanged(&claim.key, stage.storage().complete(&complete)).await?;
    same("the late completion", &answer, &Written::LeaseLost(Lost::TakenOver))?;
    stage.storage().complete(&completion(&next, &result("2")?)).await?;
    let lost = lost_to(&result("2")?, &stage.record(&claim.key).await?)?;
    let answer = stage.unchanged(&claim.key, stage.storage().complete(&complete)).await?;
    same("the late completion again", &answer, &lost)
}
