//! Claims of keys whose owner's lease has expired.

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{LONG, Stage, completion, parks, result, rival};
use super::cases;
use crate::record::{CrashPolicy, Fence, State, Status, Timestamp};
use crate::storage::{Claim, Claimed, Lost, Written};

const RETRY: &str = "`Processing` by another owner, lease expired, policy `Retry`: the caller \
    becomes the owner with the next fence; `Acquired`, recovered.";
const PARK: &str = "`Processing` by another owner, lease expired, policy `Park`: becomes \
    `Failed(Indeterminate)` with the dead owner's id; the answer is `Parked` with it.";

cases! { "claim";
    RETRY => [
        retry_hands_over,
        fence_grows_with_every_takeover,
        taker_brings_its_own_lease_ttl_and_policy,
        retry_of_the_record_beats_park_of_the_claim,
    ],
    PARK => [
        park_becomes_indeterminate,
        park_of_the_record_beats_retry_of_the_claim,
        park_after_a_takeover_is_the_takers,
    ],
}

async fn retry_hands_over<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (dead, taker) = stage.taken_over("key").await?;
    let record = stage.record(&dead.key).await?;
    same("owner", &record.owner, &taker.owner)?;
    same("fence", &record.fence, &Fence::new(2))?;
    same("status", &record.status(), &Status::Processing)?;
    let answer = stage.storage().complete(&completion(&dead, &result("1")?)).await?;
    same("the dead owner's complete", &answer, &Written::LeaseLost(Lost::TakenOver))?;
    let answer = stage.storage().complete(&completion(&taker, &result("2")?)).await?;
    same("the taker's complete", &answer, &Written::Done)
}

async fn fence_grows_with_every_takeover<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut claim = stage.crashed("key", CrashPolicy::Retry).await?;
    for fence in 2..=4 {
        claim = rival(&claim);
        let answer = stage.storage().claim(&claim).await?;
        same(
            "the takeover",
            &answer,
            &Claimed::Acquired { fence: Fence::new(fence), recovered: true },
        )?;
        same("the stored fence", &stage.record(&claim.key).await?.fence, &Fence::new(fence))?;
        stage.outlive(claim.lease).await;
    }
    Ok(())
}

async fn taker_brings_its_own_lease_ttl_and_policy<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Retry).await?;
    let (lease, ttl, on_crash) = (LONG / 2, LONG / 3, CrashPolicy::Park);
    let taker = Claim { lease, ttl, on_crash, ..rival(&dead) };
    let before = stage.harness.now().await;
    stage.storage().claim(&taker).await?;
    let after = stage.harness.now().await;
    let record = stage.record(&dead.key).await?;
    let State::Processing { lease_until, .. } = record.state else {
        return same("status", &record.status(), &Status::Processing);
    };
    let expected = State::Processing { lease, lease_until, ttl, on_crash, recovered: true };
    same("state", &record.state, &expected)?;
    stage.between("lease_until", lease_until, (before.after(lease), after.after(lease)))?;
    same("expires_at", &record.expires_at, &Timestamp::NEVER)
}

async fn retry_of_the_record_beats_park_of_the_claim<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Retry).await?;
    let taker = Claim { on_crash: CrashPolicy::Park, ..rival(&dead) };
    let answer = stage.storage().claim(&taker).await?;
    same("the takeover", &answer, &Claimed::Acquired { fence: Fence::new(2), recovered: true })
}

async fn park_becomes_indeterminate<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Park).await?;
    let before = stage.harness.now().await;
    let first = parks(stage.storage().claim(&rival(&dead)).await?)?;
    let after = stage.harness.now().await;
    stage.between("when it ended", first.at, (before, after))?;
    let record = stage.record(&dead.key).await?;
    same("owner", &record.owner, &dead.owner)?;
    same("fence", &record.fence, &Fence::FIRST)?;
    same("fingerprint", &record.fingerprint, &dead.fingerprint)?;
    same("state", &record.state, &State::Finished(first.clone()))?;
    same("expires_at", &record.expires_at, &Timestamp::NEVER)?;
    // Every later claim replays the same, the dead owner's included.
    for claim in [rival(&dead), dead] {
        let answer = stage.unchanged(&claim.key, stage.storage().claim(&claim)).await?;
        same("the next claim", &answer, &Claimed::Replay(first.clone()))?;
    }
    Ok(())
}

async fn park_of_the_record_beats_retry_of_the_claim<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Park).await?;
    let claim = Claim { on_crash: CrashPolicy::Retry, ..rival(&dead) };
    parks(stage.storage().claim(&claim).await?).map(drop)
}

async fn park_after_a_takeover_is_the_takers<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Retry).await?;
    let taker = Claim { on_crash: CrashPolicy::Park, ..rival(&dead) };
    stage.storage().claim(&taker).await?;
    stage.outlive(taker.lease).await;
    parks(stage.storage().claim(&rival(&dead)).await?)?;
    let record = stage.record(&dead.key).await?;
    same("owner", &record.owner, &taker.owner)?;
    same("fence", &record.fence, &Fence::new(2))
}
