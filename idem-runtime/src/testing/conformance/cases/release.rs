//! Releasing a key.

use std::time::Duration;

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{
    SHORT, Stage, completion, failure, indeterminate, lost_to, releasing, result, rival,
};
use super::cases;
use crate::record::{CrashPolicy, Fence, State, Status};
use crate::storage::{Claim, Complete, Lost, Written};

const OWN: &str = "`Processing` by the same owner, lease live or expired: becomes `Released` with \
    its fingerprint, owner and fence, kept for the claim's `ttl` from now; `Done`.";
const AGAIN: &str = "`Released` by the same owner: `Done`; nothing changes.";
const ELSE: &str = "Anything else: `LeaseLost`; nothing changes.";

cases! { "release";
    OWN => [
        owner_releases,
        owner_releases_after_its_lease,
        taker_releases,
        next_owner_releases,
        released_is_kept_for_the_claims_ttl,
    ],
    AGAIN => [release_again_changes_nothing],
    ELSE => [
        rival_cannot_release,
        dead_owner_cannot_release_after_a_takeover,
        finished_record_cannot_be_released,
        indeterminate_record_cannot_be_released,
        rival_cannot_release_what_is_released,
        record_that_is_gone_is_lost,
    ],
}

async fn owner_releases<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    releases(stage, &claim, 1).await
}

async fn owner_releases_after_its_lease<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = stage.crashed(name, on_crash).await?;
        releases(stage, &claim, 1).await?;
    }
    Ok(())
}

async fn taker_releases<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (_, taker) = stage.taken_over("key").await?;
    releases(stage, &taker, 2).await
}

async fn next_owner_releases<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.released(stage.claim("key")?).await?;
    let next = stage.acquire_released(rival(&claim), 2).await?;
    releases(stage, &next, 2).await
}

async fn released_is_kept_for_the_claims_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    let case = async move |key: String, ttl: Duration| {
        let mut claims = Vec::new();
        for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
            let claim = stage.claim(&format!("{on_crash:?}, {key}"))?;
            claims.push(stage.acquire(Claim { ttl, on_crash, ..claim }).await?);
        }
        stage.elapse(ttl * 6 / 10).await;
        for claim in &claims {
            same("release", &stage.storage().release(&releasing(claim)).await?, &Written::Done)?;
        }
        stage.elapse(ttl * 6 / 10).await;
        for claim in &claims {
            same("status", &stage.record(&claim.key).await?.status(), &Status::Released)?;
        }
        stage.outlive(ttl * 4 / 10).await;
        for claim in &claims {
            same("load", &stage.storage().load(&claim.key).await?, &None)?;
        }
        Ok(())
    };
    stage.given_time(Duration::from_secs(2), case).await
}

async fn release_again_changes_nothing<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.released(stage.claim("key")?).await?;
    for _ in 0..2 {
        let release = releasing(&claim);
        let answer = stage.unchanged(&claim.key, stage.storage().release(&release)).await?;
        same("the release again", &answer, &Written::Done)?;
    }
    Ok(())
}

async fn releases<H: Harness>(stage: &Stage<H>, claim: &Claim, fence: u64) -> Verdict {
    let before = stage.harness.now().await;
    same("release", &stage.storage().release(&releasing(claim)).await?, &Written::Done)?;
    let after = stage.harness.now().await;
    let record = stage.record(&claim.key).await?;
    same("state", &record.state, &State::Released)?;
    same("status", &record.status(), &Status::Released)?;
    same("owner", &record.owner, &claim.owner)?;
    same("fence", &record.fence, &Fence::new(fence))?;
    same("fingerprint", &record.fingerprint, &claim.fingerprint)?;
    let kept = (before.after(claim.ttl), after.after(claim.ttl));
    stage.between("expires_at", record.expires_at, kept)?;
    stage.acquire_released(rival(claim), fence + 1).await.map(drop)
}

async fn rival_cannot_release_what_is_released<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.released(stage.claim("key")?).await?;
    loses(stage, &rival(&claim), Written::LeaseLost(Lost::Gone)).await
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
    let released = stage.released(Claim { ttl: SHORT, ..stage.claim("released")? }).await?;
    stage.outlive(SHORT + SHORT).await;
    for claim in [never, expired, forgotten, released] {
        loses(stage, &claim, Written::LeaseLost(Lost::Gone)).await?;
    }
    Ok(())
}

async fn loses<H: Harness>(stage: &Stage<H>, claim: &Claim, lost: Written) -> Verdict {
    let release = releasing(claim);
    let answer = stage.unchanged(&claim.key, stage.storage().release(&release)).await?;
    same("the release", &answer, &lost)
}
