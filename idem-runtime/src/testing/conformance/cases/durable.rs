//! Durability across reopening, and failed commits.

use std::time::Duration;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::{Harm, Harness};
use super::super::stage::{
    LONG, SHORT, Stage, completion, failure, indeterminate, parks, releasing, renewal, replayed,
    result, rival, stranger,
};
use super::cases;
use super::lost::transient;
use crate::record::{CrashPolicy, Fence, Record, State, Status, Timestamp};
use crate::storage::{Claim, Claimed, Complete, StorageErrorKind, Written};

const KEPT: &str = "An answer is durable: it comes after the commit, and its effect survives \
    reopening the storage, unless the backend documents that its data ends with the process.";
const FAILS: &str = "A failed commit is an error: of kind \
    [`NotApplied`](StorageErrorKind::NotApplied) where certainly nothing was written, of kind \
    [`Indeterminate`](StorageErrorKind::Indeterminate) otherwise. No call sees changes that were \
    not committed.";
const CLOCK: &str = "Without a server, the clock does not go back while the process lives \
    ([`MonotonicClock`](crate::clock::MonotonicClock)), and stored times count from the Unix \
    epoch, so that they keep their meaning when the data is opened again.";

cases! { "durable";
    KEPT => owned [
        claim_is_kept,
        takeover_is_kept,
        parking_is_kept,
        renewal_is_kept,
        completion_is_kept,
        release_is_kept,
        what_is_forgotten_stays_forgotten,
    ],
    FAILS => owned [
        claim_whose_commit_fails,
        completion_whose_commit_fails,
        release_whose_commit_fails,
        renewal_whose_commit_fails,
    ],
    CLOCK => owned [leases_and_retentions_go_on],
}

/// Checks that the records survive reopening unchanged.
async fn is_kept<H: Harness>(stage: Stage<H>, claims: &[Claim]) -> Verdict<Stage<H>> {
    let mut before = Vec::new();
    for claim in claims {
        before.push(stage.record(&claim.key).await?);
    }
    let stage = stage.reopened().await?;
    for (claim, before) in claims.iter().zip(&before) {
        let after = stage.storage().load(&claim.key).await?;
        stage.same_record(&claim.key, Some(before), after.as_ref())?;
    }
    Ok(stage)
}

async fn claim_is_kept<H: Harness>(stage: Stage<H>) -> Verdict {
    let mut claims = Vec::new();
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        let (lease, ttl) = (LONG / 2, LONG / 3);
        claims.push(stage.acquire(Claim { lease, ttl, on_crash, ..stage.claim(name)? }).await?);
    }
    let stage = is_kept(stage, &claims).await?;
    for claim in &claims {
        let answer = stage.storage().claim(&rival(claim)).await?;
        ensure(matches!(answer, Claimed::InProgress { .. }), || {
            format!("a rival's claim of {:?} is answered {answer:?}", claim.key)
        })?;
        let answer = stage.storage().claim(&stranger(claim)?).await?;
        same("a claim with another fingerprint", &answer, &Claimed::Mismatch)?;
        let answer = stage.storage().complete(&completion(claim, &result("1")?)).await?;
        same("the owner's complete", &answer, &Written::Done)?;
    }
    Ok(())
}

async fn takeover_is_kept<H: Harness>(stage: Stage<H>) -> Verdict {
    let (dead, taker) = stage.taken_over("key").await?;
    let stage = is_kept(stage, &[dead.clone(), taker.clone()]).await?;
    let again = stage.storage().claim(&taker).await?;
    let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: true };
    same("the taker's claim again", &again, &acquired)?;
    let answer = stage.storage().complete(&completion(&dead, &result("stale")?)).await?;
    ensure(answer != Written::Done, || "the dead owner completes".to_owned())
}

async fn parking_is_kept<H: Harness>(stage: Stage<H>) -> Verdict {
    let dead = stage.parked("key").await?;
    let stage = is_kept(stage, std::slice::from_ref(&dead)).await?;
    let replay = replayed(stage.storage().claim(&rival(&dead)).await?)?;
    same("the replay", &replay.finish, &indeterminate())?;
    let answer = stage.storage().complete(&completion(&dead, &result("late")?)).await?;
    same("the late owner's complete", &answer, &Written::Done)
}

async fn renewal_is_kept<H: Harness>(stage: Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    // The claim has long been on disk; its renewal must be, too.
    let stage = is_kept(stage, std::slice::from_ref(&claim)).await?;
    stage.elapse(SHORT * 2).await;
    same("renew", &stage.renew(&claim).await?, &Written::Done)?;
    is_kept(stage, &[claim]).await.map(drop)
}

async fn completion_is_kept<H: Harness>(stage: Stage<H>) -> Verdict {
    let mut claims = Vec::new();
    let finishes = [("completed", result("1")?), ("failed", failure("declined"))];
    for (name, _) in &finishes {
        claims.push(stage.processing(name).await?);
    }
    let stage = is_kept(stage, &claims).await?;
    for (claim, (_, finish)) in claims.iter().zip(&finishes) {
        let answer = stage.storage().complete(&completion(claim, finish)).await?;
        same("complete", &answer, &Written::Done)?;
    }
    let stage = is_kept(stage, &claims).await?;
    for (claim, (_, finish)) in claims.iter().zip(&finishes) {
        let replay = replayed(stage.storage().claim(&rival(claim)).await?)?;
        same("the replay", &replay.finish, finish)?;
    }
    Ok(())
}

async fn release_is_kept<H: Harness>(stage: Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let stage = is_kept(stage, std::slice::from_ref(&claim)).await?;
    let answer = stage.storage().release(&releasing(&claim)).await?;
    same("release", &answer, &Written::Done)?;
    let stage = is_kept(stage, std::slice::from_ref(&claim)).await?;
    stage.acquire_released(rival(&claim), 2).await.map(drop)
}

async fn what_is_forgotten_stays_forgotten<H: Harness>(stage: Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let complete = Complete { ttl: SHORT, ..completion(&claim, &result("1")?) };
    same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    stage.outlive(SHORT).await;
    let stage = stage.reopened().await?;
    same("load", &stage.storage().load(&claim.key).await?, &None)?;
    stage.acquire(stranger(&claim)?).await.map(drop)
}

async fn leases_and_retentions_go_on<H: Harness>(mut stage: Stage<H>) -> Verdict {
    let mut lease = Duration::from_secs(2);
    loop {
        let begun = stage.harness.now().await;
        let lasts = |name: &str| format!("{name}, {lease:?}");
        let dead = stage.acquire(Claim { lease, ..stage.claim(&lasts("dead"))? }).await?;
        let on_crash = CrashPolicy::Park;
        let parked = Claim { lease, on_crash, ..stage.claim(&lasts("parked"))? };
        let parked = stage.acquire(parked).await?;
        let finished = stage.processing(&lasts("finished")).await?;
        let complete = Complete { ttl: lease, ..completion(&finished, &result("1")?) };
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
        let claims = [&dead, &parked, &finished];
        let mut before = Vec::new();
        for claim in claims {
            before.push(stage.storage().load(&claim.key).await?);
        }
        stage.elapse(lease / 4).await;
        stage = stage.reopened().await?;
        let mut after = Vec::new();
        for claim in claims {
            after.push(stage.storage().load(&claim.key).await?);
        }
        if stage.harness.now().await >= begun.after(lease * 3 / 4) {
            // Reopening took longer than the lease, which proves nothing.
            lease *= 4;
            continue;
        }
        for ((claim, before), after) in claims.into_iter().zip(&before).zip(&after) {
            stage.same_record(&claim.key, before.as_ref(), after.as_ref())?;
        }
        stage.outlive(lease * 3 / 4).await;
        let answer = stage.storage().claim(&rival(&dead)).await?;
        let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: true };
        same("the takeover", &answer, &acquired)?;
        parks(stage.storage().claim(&rival(&parked)).await?)?;
        return same("load", &stage.storage().load(&finished.key).await?, &None);
    }
}

/// Checks the answer to a call whose commit failed, and the record after reopening, where the
/// backend supports that.
async fn after_a_failure<H: Harness, T: std::fmt::Debug>(
    stage: Stage<H>,
    claim: &Claim,
    before: Option<&Record>,
    answer: Result<T, crate::storage::StorageError>,
) -> Verdict<Stage<H>> {
    let kind = match answer {
        // The storage may have retried by itself, and succeeded.
        Ok(_) => None,
        Err(error) => transient(Some(error))?,
    };
    // A storage may refuse everything until it is reopened. If it does answer, the answer counts.
    let shown = stage.storage().load(&claim.key).await;
    let stage = stage.reopened().await?;
    let after = stage.storage().load(&claim.key).await?;
    if let Ok(shown) = shown {
        stage.same_record(&claim.key, shown.as_ref(), after.as_ref())?;
    }
    match kind {
        Some(StorageErrorKind::NotApplied) => {
            stage.same_record(&claim.key, before, after.as_ref())?;
        }
        None => {
            let is_same = stage.same_record(&claim.key, before, after.as_ref()).is_ok();
            ensure(!is_same, || {
                format!("the commit for {:?} failed, but the call reported success", claim.key)
            })?;
        }
        _ => {}
    }
    Ok(stage)
}

async fn claim_whose_commit_fails<H: Harness>(stage: Stage<H>) -> Verdict {
    // A storage may write data of its own before its first claim.
    stage.processing("before").await?;
    let claim = stage.claim("key")?;
    stage.inflict(Harm::NextCommitFails).await?;
    let answer = stage.storage().claim(&claim).await;
    let stage = after_a_failure(stage, &claim, None, answer).await?;
    stage.acquire(claim).await.map(drop)
}

async fn completion_whose_commit_fails<H: Harness>(stage: Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let before = stage.record(&claim.key).await?;
    let complete = completion(&claim, &result("1")?);
    stage.inflict(Harm::NextCommitFails).await?;
    let answer = stage.storage().complete(&complete).await;
    let claimed = stage.storage().claim(&rival(&claim)).await;
    let stage = after_a_failure(stage, &claim, Some(&before), answer).await?;
    if let Ok(Claimed::Replay(finished)) = claimed {
        let end = State::Finished(finished);
        same("what was replayed before", &stage.record(&claim.key).await?.state, &end)?;
    }
    same("the completion again", &stage.storage().complete(&complete).await?, &Written::Done)?;
    let replay = replayed(stage.storage().claim(&rival(&claim)).await?)?;
    same("the replay", &replay.finish, &complete.finish)
}

async fn release_whose_commit_fails<H: Harness>(stage: Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let before = stage.record(&claim.key).await?;
    stage.inflict(Harm::NextCommitFails).await?;
    let answer = stage.storage().release(&releasing(&claim)).await;
    let stage = after_a_failure(stage, &claim, Some(&before), answer).await?;
    let again = stage.storage().release(&releasing(&claim)).await?;
    same("the release again", &again, &Written::Done)?;
    same("status", &stage.record(&claim.key).await?.status(), &Status::Released)
}

async fn renewal_whose_commit_fails<H: Harness>(stage: Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let before = stage.record(&claim.key).await?;
    stage.elapse(SHORT * 2).await;
    stage.inflict(Harm::NextCommitFails).await?;
    let Some(answer) = stage.storage().renew(&[renewal(&claim)]).await.pop() else {
        return Err(Complaint::Violated("renew gives no answer".into()));
    };
    let stage = after_a_failure(stage, &claim, Some(&before), answer).await?;
    same("the renewal again", &stage.renew(&claim).await?, &Written::Done)?;
    let expires_at = stage.record(&claim.key).await?.expires_at;
    ensure(expires_at > before.expires_at && expires_at != Timestamp::NEVER, || {
        "the renewal did not extend the lease".to_owned()
    })
}
