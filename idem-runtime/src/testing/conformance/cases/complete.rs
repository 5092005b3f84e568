//! Storing the outcome of an operation.

use std::time::Duration;

use super::super::check::{Verdict, same};
use super::super::harness::Harness;
use super::super::stage::{
    LONG, SHORT, Stage, completion, failure, indeterminate, parks, replayed, result, rival,
};
use super::cases;
use crate::record::{CrashPolicy, Fence, State, Status, Timestamp};
use crate::storage::{Claim, Complete, Written};

const OWN: &str = "`Processing` by the same owner, lease live or expired: becomes `Completed` or \
    `Failed`, kept for `ttl` from now; `Done`.";
const HEALS: &str = "`Failed(Indeterminate)` of the same owner: the late owner resolves it in the \
    same way; `Done`.";
const NEVER: &str = "`Failed(Indeterminate)` does not expire, whether its owner or a claim wrote \
    it; the outcome that resolves it is kept for `ttl` from then.";
const AGAIN: &str = "Finished by the same owner with the same `finish`: `Done`; nothing changes.";

cases! { "complete";
    OWN => [
        owner_completes,
        owner_fails,
        owner_finishes_after_its_lease,
        taker_finishes,
        retention_counts_from_completion,
        retention_is_the_completions_own,
        result_outlives_a_short_claim,
    ],
    HEALS => [late_owner_completes_indeterminate, late_owner_fails_indeterminate],
    NEVER => [
        indeterminate_outlives_every_ttl,
        indeterminate_of_its_own_owner_outlives_its_ttl,
        healed_indeterminate_is_forgotten_after_its_ttl,
    ],
    AGAIN => [same_finish_again_changes_nothing],
}

async fn owner_completes<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let finish = result("1")?;
    let ttl = LONG / 2;
    let before = stage.harness.now().await;
    let complete = Complete { ttl, ..completion(&claim, &finish) };
    same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    let after = stage.harness.now().await;
    let record = stage.record(&claim.key).await?;
    same("status", &record.status(), &Status::Completed)?;
    same("owner", &record.owner, &claim.owner)?;
    same("fence", &record.fence, &Fence::FIRST)?;
    same("fingerprint", &record.fingerprint, &claim.fingerprint)?;
    stage.between("expires_at", record.expires_at, (before.after(ttl), after.after(ttl)))?;
    let replay = replayed(stage.storage().claim(&rival(&claim)).await?)?;
    same("the replay", &replay.finish, &finish)?;
    stage.between("when it ended", replay.at, (before, after))?;
    same("state", &record.state, &State::Finished(replay))
}

async fn owner_fails<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.finished("key", &failure("declined")).await?;
    same("status", &stage.record(&claim.key).await?.status(), &Status::Failed)?;
    let replay = replayed(stage.storage().claim(&rival(&claim)).await?)?;
    same("the replay", &replay.finish, &failure("declined"))
}

async fn owner_finishes_after_its_lease<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = stage.crashed(name, on_crash).await?;
        let answer = stage.storage().complete(&completion(&claim, &result("1")?)).await?;
        same("the late complete", &answer, &Written::Done)?;
        let replay = replayed(stage.storage().claim(&rival(&claim)).await?)?;
        same("the replay", &replay.finish, &result("1")?)?;
    }
    Ok(())
}

async fn taker_finishes<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (_, taker) = stage.taken_over("key").await?;
    let answer = stage.storage().complete(&completion(&taker, &result("2")?)).await?;
    same("the taker's complete", &answer, &Written::Done)?;
    let record = stage.record(&taker.key).await?;
    same("owner", &record.owner, &taker.owner)?;
    same("fence", &record.fence, &Fence::new(2))
}

async fn retention_counts_from_completion<H: Harness>(stage: &Stage<H>) -> Verdict {
    let case = async move |key: String, ttl: Duration| {
        let claim = stage.processing(&key).await?;
        stage.elapse(ttl * 6 / 10).await;
        let complete = Complete { ttl, ..completion(&claim, &result("1")?) };
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
        stage.elapse(ttl * 6 / 10).await;
        replayed(stage.storage().claim(&rival(&claim)).await?)?;
        stage.outlive(ttl * 4 / 10).await;
        stage.acquire(rival(&claim)).await.map(drop)
    };
    stage.given_time(Duration::from_secs(2), case).await
}

async fn retention_is_the_completions_own<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let complete = Complete { ttl: SHORT, ..completion(&claim, &failure("declined")) };
    same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    stage.outlive(SHORT).await;
    stage.acquire(rival(&claim)).await.map(drop)
}

async fn result_outlives_a_short_claim<H: Harness>(stage: &Stage<H>) -> Verdict {
    let case = async move |key: String, lease: Duration| {
        let ttl = lease;
        let claim = stage.acquire(Claim { lease, ttl, ..stage.claim(&key)? }).await?;
        let answer = stage.storage().complete(&completion(&claim, &result("1")?)).await?;
        same("complete", &answer, &Written::Done)?;
        stage.outlive(lease + ttl).await;
        replayed(stage.storage().claim(&rival(&claim)).await?).map(drop)
    };
    stage.given_time(SHORT * 2, case).await
}

async fn late_owner_completes_indeterminate<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.parked("key").await?;
    stage.elapse(SHORT).await;
    let ttl = LONG * 2;
    let complete = Complete { ttl, ..completion(&dead, &result("1")?) };
    let before = stage.harness.now().await;
    same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    let after = stage.harness.now().await;
    let replay = replayed(stage.storage().claim(&rival(&dead)).await?)?;
    same("the replay", &replay.finish, &result("1")?)?;
    stage.between("when it ended", replay.at, (before, after))?;
    let record = stage.record(&dead.key).await?;
    same("status", &record.status(), &Status::Completed)?;
    stage.between("expires_at", record.expires_at, (before.after(ttl), after.after(ttl)))
}

async fn indeterminate_outlives_every_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    let on_crash = CrashPolicy::Park;
    let dead = Claim { lease: SHORT, ttl: SHORT, on_crash, ..stage.claim("key")? };
    let dead = stage.acquire(dead).await?;
    stage.outlive(SHORT).await;
    parks(stage.storage().claim(&Claim { ttl: SHORT, ..rival(&dead) }).await?)?;
    stays_parked(stage, &dead).await
}

async fn indeterminate_of_its_own_owner_outlives_its_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = stage.acquire(Claim { on_crash, ..stage.claim(name)? }).await?;
        let complete = Complete { ttl: SHORT, ..completion(&claim, &indeterminate()) };
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
        stays_parked(stage, &claim).await?;
    }
    Ok(())
}

/// Only its owner can complete it.
async fn stays_parked<H: Harness>(stage: &Stage<H>, owner: &Claim) -> Verdict {
    stage.outlive(SHORT + SHORT + SHORT).await;
    same("expires_at", &stage.record(&owner.key).await?.expires_at, &Timestamp::NEVER)?;
    let replay = replayed(stage.storage().claim(&rival(owner)).await?)?;
    same("the replay", &replay.finish, &indeterminate())?;
    let answer = stage.storage().complete(&completion(owner, &result("late")?)).await?;
    same("the late owner's complete", &answer, &Written::Done)
}

async fn healed_indeterminate_is_forgotten_after_its_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.parked("key").await?;
    let complete = Complete { ttl: SHORT, ..completion(&dead, &result("late")?) };
    same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    stage.outlive(SHORT).await;
    stage.acquire(rival(&dead)).await.map(drop)
}

async fn late_owner_fails_indeterminate<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.parked("key").await?;
    let answer = stage.storage().complete(&completion(&dead, &failure("declined"))).await?;
    same("the late owner's complete", &answer, &Written::Done)?;
    let replay = replayed(stage.storage().claim(&rival(&dead)).await?)?;
    same("the replay", &replay.finish, &failure("declined"))
}

async fn same_finish_again_changes_nothing<H: Harness>(stage: &Stage<H>) -> Verdict {
    let finishes = [
        ("completed", result("1")?),
        ("failed", failure("declined")),
        // An indeterminate record accepts any other finish, but already has this one.
        ("indeterminate", indeterminate()),
    ];
    for (name, finish) in finishes {
        let claim = stage.finished(name, &finish).await?;
        // Another ttl would show a second write.
        let again = Complete { ttl: LONG * 2, ..completion(&claim, &finish) };
        let answer = stage.unchanged(&claim.key, stage.storage().complete(&again)).await?;
        same("the second complete", &answer, &Written::Done)?;
    }
    Ok(())
}
