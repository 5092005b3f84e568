//! Claims of keys that nobody finished: fresh, expired, asked for again, in progress.

use std::time::Duration;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{LONG, SHORT, Stage, completion, releasing, result, rival, stranger};
use super::cases;
use crate::record::{CrashPolicy, Fence, State};
use crate::storage::{Claim, Claimed, Storage, Written};

const NONE: &str = "No record, or an expired one: becomes `Processing` with [`Fence::FIRST`], kept for `lease + ttl`; the answer is \
                    `Acquired`.";
const AGAIN: &str =
    "`Processing` by the same owner: `Acquired` with the same fence, nothing changes.";
const LIVE: &str = "`Processing` by another owner, lease live: `InProgress` with what is left of the lease, more than zero and at most \
                    the lease.";

cases! { "claim";
    NONE => [
        new_key_is_acquired_with_the_first_fence,
        record_holds_what_was_claimed,
        processing_is_kept_for_lease_and_ttl,
        processing_is_forgotten_after_lease_and_ttl,
        expired_result_counts_as_none,
        released_key_counts_as_none,
    ],
    AGAIN => [same_owner_again_changes_nothing, same_owner_again_after_its_lease_changes_nothing],
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
    let on_crash = CrashPolicy::Park;
    let claim = Claim { lease: SHORT, ttl: SHORT, on_crash, ..stage.claim("key")? };
    let claim = stage.acquire(claim).await?;
    stage.outlive(SHORT + SHORT).await;
    // Neither the fence, nor the policy, nor the fingerprint of a record that is forgotten counts.
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

async fn released_key_counts_as_none<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (_, taker) = stage.taken_over("key").await?;
    same("release", &stage.storage().release(&releasing(&taker)).await?, &Written::Done)?;
    stage.acquire(stranger(&taker)?).await.map(drop)
}

async fn same_owner_again_changes_nothing<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let again =
        Claim { lease: LONG / 2, ttl: LONG / 2, on_crash: CrashPolicy::Park, ..claim.clone() };
    let answer = stage.unchanged(&claim.key, stage.storage().claim(&again)).await?;
    same("the second claim", &answer, &Claimed::Acquired { fence: Fence::FIRST })?;

    let (_, taker) = stage.taken_over("taken over").await?;
    let answer = stage.unchanged(&taker.key, stage.storage().claim(&taker)).await?;
    same("the taker's second claim", &answer, &Claimed::Acquired { fence: Fence::new(2) })
}

async fn same_owner_again_after_its_lease_changes_nothing<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let claim = stage.crashed(name, on_crash).await?;
        let answer = stage.unchanged(&claim.key, stage.storage().claim(&claim)).await?;
        same("the second claim", &answer, &Claimed::Acquired { fence: Fence::FIRST })?;
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
