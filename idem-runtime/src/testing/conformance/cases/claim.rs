//! Claims of unfinished keys: new, expired, claimed again, in progress.

use std::time::Duration;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{
    LONG, SHORT, Stage, completion, parks, releasing, result, rival, stranger,
};
use super::cases;
use crate::record::{CrashPolicy, Fence, State, Timestamp};
use crate::storage::{Claim, Claimed, Written};

const NONE: &str = "No record, or an expired one: becomes `Processing` with [`Fence::FIRST`], kept \
    for `lease + ttl`; the answer is `Acquired`.";
const RELEASED: &str = "`Released`: becomes `Processing` with the next fence, kept for `lease + \
    ttl`; the answer is `Acquired`, not recovered.";
const AGAIN: &str = "`Processing` by the same owner: `Acquired` with the stored fence and \
    `recovered`; nothing changes.";
const STAYS: &str = "`Processing` under `Park` does not expire: after its lease it stays for the \
    claim that parks it.";
const LIVE: &str = "`Processing` by another owner, lease live: `InProgress` with the remaining \
    time, more than zero and at most the lease.";

cases! { "claim";
    NONE => [
        new_key_is_acquired_with_the_first_fence,
        record_holds_what_was_claimed,
        processing_is_kept_for_lease_and_ttl,
        processing_is_forgotten_after_lease_and_ttl,
        expired_result_counts_as_none,
        released_key_is_forgotten_after_its_ttl,
    ],
    RELEASED => [
        released_key_is_acquired_with_the_next_fence,
        released_key_is_as_new_but_for_its_fence,
        fence_grows_with_every_release,
        takeover_after_a_release_is_a_recovery,
    ],
    AGAIN => [
        same_owner_again_changes_nothing,
        same_owner_again_after_its_lease_changes_nothing,
        same_owner_again_after_a_release_changes_nothing,
    ],
    STAYS => [processing_to_be_parked_outlives_lease_and_ttl],
    LIVE => [live_lease_is_in_progress, lease_left_shrinks],
}

async fn new_key_is_acquired_with_the_first_fence<H: Harness>(stage: &Stage<H>) -> Verdict {
    stage.processing("key").await.map(drop)
}

async fn record_holds_what_was_claimed<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let lease = Duration::from_secs(300);
        let claim = stage.acquire(Claim { lease, on_crash, ..stage.claim(name)? }).await?;
        let record = stage.record(&claim.key).await?;
        same("fingerprint", &record.fingerprint, &claim.fingerprint)?;
        same("owner", &record.owner, &claim.owner)?;
        same("fence", &record.fence, &Fence::FIRST)?;
        let State::Processing { lease: stored, ttl, on_crash: policy, .. } = record.state else {
            return Err(Complaint::Violated(format!("the record is {:?}", record.status())));
        };
        same("lease", &stored, &claim.lease)?;
        same("ttl", &ttl, &claim.ttl)?;
        same("crash policy", &policy, &on_crash)?;
    }
    Ok(())
}

async fn processing_is_kept_for_lease_and_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claims = [
        stage.acquire(Claim { lease: SHORT, ..stage.claim("long ttl")? }).await?,
        stage.acquire(Claim { ttl: SHORT, ..stage.claim("long lease")? }).await?,
    ];
    stage.outlive(SHORT).await;
    for claim in claims {
        same("owner", &stage.record(&claim.key).await?.owner, &claim.owner)?;
    }
    Ok(())
}

async fn processing_is_forgotten_after_lease_and_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = Claim { lease: SHORT, ttl: SHORT, ..stage.claim("key")? };
    let claim = stage.acquire(claim).await?;
    stage.outlive(SHORT + SHORT).await;
    // Fence and fingerprint of an expired record have no effect.
    stage.acquire(stranger(&claim)?).await.map(drop)
}

async fn expired_result_counts_as_none<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let complete = crate::storage::Complete { ttl: SHORT, ..completion(&claim, &result("1")?) };
    same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    stage.outlive(SHORT).await;
    let next = stage.acquire(stranger(&claim)?).await?;
    same("owner", &stage.record(&claim.key).await?.owner, &next.owner)
}

async fn released_key_is_forgotten_after_its_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = Claim { ttl: SHORT, on_crash, ..stage.claim(name)? };
        let claim = stage.released(claim).await?;
        stage.outlive(SHORT).await;
        stage.acquire(stranger(&claim)?).await?;
    }
    Ok(())
}

async fn released_key_is_acquired_with_the_next_fence<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = stage.released(Claim { on_crash, ..stage.claim(name)? }).await?;
        let next = stage.acquire_released(rival(&claim), 2).await?;
        let record = stage.record(&claim.key).await?;
        same("owner", &record.owner, &next.owner)?;
        same("fence", &record.fence, &Fence::new(2))?;
        let answer = stage.storage().complete(&completion(&next, &result("2")?)).await?;
        same("the next owner's complete", &answer, &Written::Done)?;
    }
    Ok(())
}

async fn released_key_is_as_new_but_for_its_fence<H: Harness>(stage: &Stage<H>) -> Verdict {
    let short = Claim { lease: SHORT, on_crash: CrashPolicy::Park, ..stage.claim("key")? };
    let claim = stage.released(short).await?;
    let (lease, ttl, on_crash) = (LONG / 2, LONG / 3, CrashPolicy::Retry);
    let before = stage.harness.now().await;
    let next = Claim { lease, ttl, on_crash, ..rival(&claim) };
    stage.acquire_released(next, 2).await?;
    let after = stage.harness.now().await;
    let record = stage.record(&claim.key).await?;
    let State::Processing { lease_until, .. } = record.state else {
        return Err(Complaint::Violated(format!("the record is {:?}", record.status())));
    };
    let expected = State::Processing { lease, lease_until, ttl, on_crash, recovered: false };
    same("state", &record.state, &expected)?;
    stage.between("lease_until", lease_until, (before.after(lease), after.after(lease)))?;
    let kept = lease + ttl;
    stage.between("expires_at", record.expires_at, (before.after(kept), after.after(kept)))
}

async fn fence_grows_with_every_release<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut claim = stage.released(stage.claim("key")?).await?;
    for fence in 2..=4 {
        claim = stage.acquire_released(rival(&claim), fence).await?;
        let answer = stage.storage().release(&releasing(&claim)).await?;
        same("release", &answer, &Written::Done)?;
        same("the stored fence", &stage.record(&claim.key).await?.fence, &Fence::new(fence))?;
    }
    Ok(())
}

async fn takeover_after_a_release_is_a_recovery<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.released(stage.claim("key")?).await?;
    let dead = Claim { lease: SHORT, ..rival(&claim) };
    let dead = stage.acquire_released(dead, 2).await?;
    stage.outlive(SHORT).await;
    let answer = stage.storage().claim(&rival(&dead)).await?;
    let acquired = Claimed::Acquired { fence: Fence::new(3), recovered: true };
    same("the takeover", &answer, &acquired)
}

async fn same_owner_again_after_a_release_changes_nothing<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.released(stage.claim("key")?).await?;
    let next = stage.acquire_released(rival(&claim), 2).await?;
    let answer = stage.unchanged(&next.key, stage.storage().claim(&next)).await?;
    let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: false };
    same("the second claim", &answer, &acquired)
}

async fn processing_to_be_parked_outlives_lease_and_ttl<H: Harness>(stage: &Stage<H>) -> Verdict {
    let on_crash = CrashPolicy::Park;
    let short = Claim { lease: SHORT, ttl: SHORT, on_crash, ..stage.claim("claimed")? };
    let claimed = stage.acquire(short).await?;
    let renewed = stage.acquire(Claim { key: stage.key("renewed")?, ..rival(&claimed) }).await?;
    same("renew", &stage.renew(&renewed).await?, &Written::Done)?;
    let (dead, _) = stage.taken_over("taken over").await?;
    let lapsed =
        Claim { key: stage.key("taken")?, on_crash: CrashPolicy::Retry, ..rival(&claimed) };
    let lapsed = stage.acquire(Claim { ttl: LONG, ..lapsed }).await?;
    stage.outlive(SHORT).await;
    let taker = Claim { lease: SHORT, ttl: SHORT, on_crash, ..rival(&lapsed) };
    stage.storage().claim(&taker).await?;
    stage.outlive(SHORT + SHORT + SHORT).await;
    for owner in [&claimed, &renewed, &taker] {
        let record = stage.record(&owner.key).await?;
        same("owner", &record.owner, &owner.owner)?;
        same("expires_at", &record.expires_at, &Timestamp::NEVER)?;
        parks(stage.storage().claim(&rival(owner)).await?)?;
    }
    // The policy of an earlier owner has no effect.
    let record = stage.record(&dead.key).await?;
    ensure(record.expires_at < Timestamp::NEVER, || "a record to be retried never expires".into())
}

async fn same_owner_again_changes_nothing<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let again =
        Claim { lease: LONG / 2, ttl: LONG / 2, on_crash: CrashPolicy::Park, ..claim.clone() };
    let answer = stage.unchanged(&claim.key, stage.storage().claim(&again)).await?;
    same(
        "the second claim",
        &answer,
        &Claimed::Acquired { fence: Fence::FIRST, recovered: false },
    )?;

    let (_, taker) = stage.taken_over("taken over").await?;
    let answer = stage.unchanged(&taker.key, stage.storage().claim(&taker)).await?;
    same(
        "the taker's second claim",
        &answer,
        &Claimed::Acquired { fence: Fence::new(2), recovered: true },
    )
}

async fn same_owner_again_after_its_lease_changes_nothing<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = stage.crashed(name, on_crash).await?;
        let answer = stage.unchanged(&claim.key, stage.storage().claim(&claim)).await?;
        same(
            "the second claim",
            &answer,
            &Claimed::Acquired { fence: Fence::FIRST, recovered: false },
        )?;
    }
    Ok(())
}

async fn live_lease_is_in_progress<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = stage.acquire(Claim { on_crash, ..stage.claim(name)? }).await?;
        let rival = Claim { lease: SHORT, ttl: SHORT, ..rival(&claim) };
        let answer = stage.unchanged(&claim.key, stage.storage().claim(&rival)).await?;
        in_progress(&answer, claim.lease)?;
    }
    Ok(())
}

async fn lease_left_shrinks<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let first = in_progress(&stage.storage().claim(&rival(&claim)).await?, claim.lease)?;
    stage.elapse(SHORT).await;
    let second = in_progress(&stage.storage().claim(&rival(&claim)).await?, claim.lease)?;
    ensure(second < first, || format!("{second:?} is left after {first:?}"))
}

fn in_progress(answer: &Claimed, lease: Duration) -> Verdict<Duration> {
    let &Claimed::InProgress { lease_left } = answer else {
        return Err(Complaint::Violated(format!("a rival's claim answers {answer:?}")));
    };
    ensure(!lease_left.is_zero() && lease_left <= lease, || {
        format!("{lease_left:?} is left of a lease of {lease:?}")
    })?;
    Ok(lease_left)
}
