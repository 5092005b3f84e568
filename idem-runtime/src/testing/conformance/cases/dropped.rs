//! Futures dropped before they complete.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{Stage, completion, releasing, renewal, replayed, result, rival};
use super::cases;
use crate::record::{Fence, State};
use crate::storage::{Claimed, Written};

const DROPPED: &str = "Dropping the future leaves the record as it was or with the verb's whole \
    effect, never in between.";

cases! { "dropped";
    DROPPED => [
        dropped_claim_is_made_or_not,
        dropped_completion_is_made_or_not,
        dropped_renewal_is_made_or_not,
        dropped_release_is_made_or_not,
    ],
}

/// Futures are dropped after 1, 2, … up to this many polls.
const POLLS: usize = 8;
/// Time for a server to process a request of a dropped future.
const SETTLES: Duration = Duration::from_millis(200);

async fn dropped_claim_is_made_or_not<H: Harness>(stage: &Stage<H>) -> Verdict {
    for polls in 1..=POLLS {
        let claim = stage.claim(&format!("key {polls}"))?;
        drop_after(polls, stage.storage().claim(&claim)).await;
        stage.elapse(SETTLES).await;
        if let Some(record) = stage.storage().load(&claim.key).await? {
            same("owner", &record.owner, &claim.owner)?;
            same("fence", &record.fence, &Fence::FIRST)?;
            same("fingerprint", &record.fingerprint, &claim.fingerprint)?;
            let whole = matches!(record.state, State::Processing { lease, ttl, .. } if (lease, ttl) == (claim.lease, claim.ttl));
            ensure(whole, || format!("the record is {record:?}"))?;
        }
        let claim = stage.acquire(claim).await?;
        let answer = stage.storage().complete(&completion(&claim, &result("1")?)).await?;
        same("complete", &answer, &Written::Done)?;
    }
    Ok(())
}

async fn dropped_completion_is_made_or_not<H: Harness>(stage: &Stage<H>) -> Verdict {
    for polls in 1..=POLLS {
        let claim = stage.processing(&format!("key {polls}")).await?;
        let complete = completion(&claim, &result("1")?);
        drop_after(polls, stage.storage().complete(&complete)).await;
        stage.elapse(SETTLES).await;
        let record = stage.record(&claim.key).await?;
        same("owner", &record.owner, &claim.owner)?;
        if let State::Finished(finished) = &record.state {
            same("the finish", &finished.finish, &complete.finish)?;
        }
        same("the completion again", &stage.storage().complete(&complete).await?, &Written::Done)?;
        let replay = replayed(stage.storage().claim(&rival(&claim)).await?)?;
        same("the replay", &replay.finish, &complete.finish)?;
    }
    Ok(())
}

async fn dropped_renewal_is_made_or_not<H: Harness>(stage: &Stage<H>) -> Verdict {
    for polls in 1..=POLLS {
        let claim = stage.processing(&format!("key {polls}")).await?;
        drop_after(polls, stage.storage().renew(&[renewal(&claim)])).await;
        stage.elapse(SETTLES).await;
        same("owner", &stage.record(&claim.key).await?.owner, &claim.owner)?;
        match stage.storage().claim(&rival(&claim)).await? {
            Claimed::InProgress { .. } => {}
            other => return Err(Complaint::Violated(format!("the rival gets {other:?}"))),
        }
        same("the renewal again", &stage.renew(&claim).await?, &Written::Done)?;
    }
    Ok(())
}

async fn dropped_release_is_made_or_not<H: Harness>(stage: &Stage<H>) -> Verdict {
    for polls in 1..=POLLS {
        let claim = stage.processing(&format!("key {polls}")).await?;
        drop_after(polls, stage.storage().release(&releasing(&claim))).await;
        stage.elapse(SETTLES).await;
        let answer = stage.storage().release(&releasing(&claim)).await?;
        same("the release again", &answer, &Written::Done)?;
        stage.acquire_released(rival(&claim), 2).await?;
    }
    Ok(())
}

/// Polls a future this many times, each time after a wake, and drops it.
async fn drop_after<F: Future>(polls: usize, future: F) {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(|context| match future.as_mut().poll(context) {
        Poll::Ready(_) => Poll::Ready(()),
        Poll::Pending => {
            left -= 1;
            if left == 0 { Poll::Ready(()) } else { Poll::Pending }
        }
    })
    .await;
}
