//! Lost requests and replies.

use super::super::check::{Complaint, Verdict, same};
use super::super::harness::{Harm, Harness};
use super::super::stage::{Stage, completion, releasing, replayed, result, rival};
use super::cases;
use crate::record::{Fence, Status};
use crate::storage::{Claimed, StorageError, StorageErrorKind, Written};

const KINDS: &str = "An error of kind [`NotApplied`](StorageErrorKind::NotApplied) means that \
    nothing changed; after a lost reply the kind is \
    [`Indeterminate`](StorageErrorKind::Indeterminate).";

cases! { "lost";
    KINDS => [
        claim_whose_request_is_lost,
        claim_whose_reply_is_lost,
        renewal_whose_reply_is_lost,
        completion_whose_request_is_lost,
        completion_whose_reply_is_lost,
        release_whose_reply_is_lost,
    ],
}

async fn claim_whose_request_is_lost<H: Harness>(stage: &Stage<H>) -> Verdict {
    // A storage may query its server before its first claim.
    stage.processing("before").await?;
    let claim = stage.claim("key")?;
    stage.inflict(Harm::NextRequestLost).await?;
    let first = stage.storage().claim(&claim).await;
    let answered = first.is_ok();
    if transient(first.err())? == Some(StorageErrorKind::NotApplied) {
        same("load", &stage.storage().load(&claim.key).await?, &None)?;
    }
    if answered {
        // The storage has retried by itself.
        same("the record's owner", &stage.record(&claim.key).await?.owner, &claim.owner)?;
    }
    stage.acquire(claim).await.map(drop)
}

async fn claim_whose_reply_is_lost<H: Harness>(stage: &Stage<H>) -> Verdict {
    // A storage may query its server before its first claim.
    stage.processing("before").await?;
    let claim = stage.claim("key")?;
    stage.inflict(Harm::NextReplyLost).await?;
    applied(stage.storage().claim(&claim).await.err())?;
    same("owner", &stage.record(&claim.key).await?.owner, &claim.owner)?;
    let again = stage.storage().claim(&claim).await?;
    same("the claim again", &again, &Claimed::Acquired { fence: Fence::FIRST, recovered: false })
}

async fn renewal_whose_reply_is_lost<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    stage.inflict(Harm::NextReplyLost).await?;
    let renewals = [super::super::stage::renewal(&claim)];
    for answer in stage.storage().renew(&renewals).await {
        applied(answer.err())?;
    }
    same("the renewal again", &stage.renew(&claim).await?, &Written::Done)
}

async fn completion_whose_request_is_lost<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let complete = completion(&claim, &result("1")?);
    stage.inflict(Harm::NextRequestLost).await?;
    let first = stage.storage().complete(&complete).await;
    let answered = first.is_ok();
    let kind = transient(first.err())?;
    let status = stage.record(&claim.key).await?.status();
    if kind == Some(StorageErrorKind::NotApplied) {
        same("the status after `NotApplied`", &status, &Status::Processing)?;
    }
    if answered {
        // The storage has retried by itself.
        same("the status after an answer", &status, &Status::Completed)?;
    }
    same("the completion again", &stage.storage().complete(&complete).await?, &Written::Done)
}

async fn completion_whose_reply_is_lost<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let complete = completion(&claim, &result("1")?);
    stage.inflict(Harm::NextReplyLost).await?;
    applied(stage.storage().complete(&complete).await.err())?;
    let replay = replayed(stage.storage().claim(&rival(&claim)).await?)?;
    same("the replay", &replay.finish, &complete.finish)?;
    same("the completion again", &stage.storage().complete(&complete).await?, &Written::Done)
}

async fn release_whose_reply_is_lost<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    stage.inflict(Harm::NextReplyLost).await?;
    applied(stage.storage().release(&releasing(&claim)).await.err())?;
    let again = stage.storage().release(&releasing(&claim)).await?;
    same("the release again", &again, &Written::Done)
}

/// A storage may retry by itself and succeed, but every error of a lost request must be a transient
/// one.
pub(super) fn transient(error: Option<StorageError>) -> Verdict<Option<StorageErrorKind>> {
    match error {
        Some(error) if !error.is_transient() => Err(error.into()),
        other => Ok(other.map(|error| error.kind())),
    }
}

/// The call was applied: its error must not be `NotApplied`.
fn applied(error: Option<StorageError>) -> Verdict {
    match transient(error)? {
        Some(StorageErrorKind::NotApplied) => {
            Err(Complaint::Violated("a call that was applied fails with `NotApplied`".into()))
        }
        _ => Ok(()),
    }
}
