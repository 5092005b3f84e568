//! Claims of keys whose owner let its lease end.

use std::time::Duration;

use super::super::check::{Verdict, between, same};
use super::super::harness::Harness;
use super::super::stage::{LONG, SHORT, Stage, completion, indeterminate, replayed, result, rival};
use super::cases;
use crate::record::{CrashPolicy, Fence, State, Status};
use crate::storage::{Claim, Claimed, Lost, Storage, Written};

const RETRY: &str = "`Processing` by another owner, lease over, its policy `Retry`: the caller becomes the owner with the next fence; \
                     `Acquired`.";
const PARK: &str = "`Processing` by another owner, lease over, its policy `Park`: becomes `Failed(Indeterminate)` that still names the \
                    dead owner and is kept for that claim's `ttl`; the answer replays it.";

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
        indeterminate_is_kept_for_the_dead_claims_ttl,
        indeterminate_is_forgotten_after_the_dead_claims_ttl,
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
        same("the takeover", &answer, &Claimed::Acquired { fence: Fence::new(fence) })?;
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
    same("state", &record.state, &State::Processing { lease, lease_until, ttl, on_crash })?;
    between("lease_until", lease_until, (before.after(lease), after.after(lease)))?;
    let kept = lease + ttl;
    between("expires_at", record.expires_at, (before.after(kept), after.after(kept)))
}

async fn retry_of_the_record_beats_park_of_the_claim<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Retry).await?;
    let taker = Claim { on_crash: CrashPolicy::Park, ..rival(&dead) };
    let answer = stage.storage().claim(&taker).await?;
    same("the takeover", &answer, &Claimed::Acquired { fence: Fence::new(2) })
}

async fn park_becomes_indeterminate<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Park).await?;
    let before = stage.harness.now().await;
    let first = replayed(stage.storage().claim(&rival(&dead)).await?)?;
    let after = stage.harness.now().await;
    same("the replay", &first.finish, &indeterminate())?;
    between("when it ended", first.at, (before, after))?;
    let record = stage.record(&dead.key).await?;
    same("owner", &record.owner, &dead.owner)?;
    same("fence", &record.fence, &Fence::FIRST)?;
    same("fingerprint", &record.fingerprint, &dead.fingerprint)?;
    same("state", &record.state, &State::Finished(first.clone()))?;
    between("expires_at", record.expires_at, (before.after(LONG), after.after(LONG)))?;
    // Whoever asks next gets the same, and so does the dead owner.
    for claim in [rival(&dead), dead] {
        let answer = stage.unchanged(&claim.key, stage.storage().claim(&claim)).await?;
        same("the next claim", &answer, &Claimed::Replay(first.clone()))?;
    }
    Ok(())
}

async fn park_of_the_record_beats_retry_of_the_claim<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Park).await?;
    let claim = Claim { on_crash: CrashPolicy::Retry, ..rival(&dead) };
    let finished = replayed(stage.storage().claim(&claim).await?)?;
    same("the replay", &finished.finish, &indeterminate())
}

async fn park_after_a_takeover_is_the_takers<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Retry).await?;
    let taker = Claim { on_crash: CrashPolicy::Park, ..rival(&dead) };
    stage.storage().claim(&taker).await?;
    stage.outlive(taker.lease).await;
    let finished = replayed(stage.storage().claim(&rival(&dead)).await?)?;
    same("the replay", &finished.finish, &indeterminate())?;
    let record = stage.record(&dead.key).await?;
    same("owner", &record.owner, &taker.owner)?;
    same("fence", &record.fence, &Fence::new(2))
}

async fn indeterminate_is_kept_for_the_dead_claims_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Park).await?;
    let claim = Claim { ttl: SHORT, lease: SHORT, ..rival(&dead) };
    stage.storage().claim(&claim).await?;
    stage.outlive(SHORT + SHORT).await;
    same("status", &stage.record(&dead.key).await?.status(), &Status::Failed)
}

async fn indeterminate_is_forgotten_after_the_dead_claims_ttl<H: Harness>(
    stage: &Stage<H>,
) -> Verdict {
    let case = async move |key: String, ttl: Duration| {
        let dead = Claim { lease: SHORT, ttl, on_crash: CrashPolicy::Park, ..stage.claim(&key)? };
        let dead = stage.acquire(dead).await?;
        stage.outlive(SHORT).await;
        let claim = Claim { ttl: LONG, ..rival(&dead) };
        replayed(stage.storage().claim(&claim).await?)?;
        stage.outlive(ttl).await;
        stage.acquire(rival(&dead)).await.map(drop)
    };
    stage.given_time(SHORT * 8, case).await
}
