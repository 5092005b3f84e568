//! Unreadable records: every verb reports them and leaves them unchanged.

use super::super::check::{Complaint, Verdict, same};
use super::super::harness::{Harm, Harness};
use super::super::stage::{Stage, completion, releasing, renewal, result, rival};
use super::cases;
use crate::key::RecordKey;
use crate::storage::{Claim, StorageError, StorageErrorKind};

const UNREADABLE: &str = "An unreadable record (damaged, newer version) is an error of kind \
    [`Corrupt`](StorageErrorKind::Corrupt) or [`NewerVersion`](StorageErrorKind::NewerVersion), \
    and stays unchanged.";

cases! { "unreadable";
    UNREADABLE => [
        garbage_is_corrupt_and_stays,
        truncated_record_is_corrupt_and_stays,
        newer_version_is_reported_and_stays,
    ],
}

async fn garbage_is_corrupt_and_stays<H: Harness>(stage: &Stage<H>) -> Verdict {
    stays(stage, |key| Harm::Garbage(key), StorageErrorKind::Corrupt).await
}

async fn truncated_record_is_corrupt_and_stays<H: Harness>(stage: &Stage<H>) -> Verdict {
    stays(stage, |key| Harm::Truncated(key), StorageErrorKind::Corrupt).await
}

async fn newer_version_is_reported_and_stays<H: Harness>(stage: &Stage<H>) -> Verdict {
    stays(stage, |key| Harm::NewerVersion(key), StorageErrorKind::NewerVersion).await
}

async fn stays<H: Harness>(
    stage: &Stage<H>,
    harm: impl for<'a> Fn(&'a RecordKey) -> Harm<'a>,
    kind: StorageErrorKind,
) -> Verdict {
    let claims =
        [stage.processing("processing").await?, stage.finished("completed", &result("1")?).await?];
    for claim in claims {
        stage.inflict(harm(&claim.key)).await?;
        // Twice: no verb makes the record readable.
        for _ in 0..2 {
            every_verb_says(stage, &claim, kind).await?;
        }
    }
    Ok(())
}

async fn every_verb_says<H: Harness>(
    stage: &Stage<H>,
    claim: &Claim,
    kind: StorageErrorKind,
) -> Verdict {
    let storage = stage.storage();
    says("a rival's claim", storage.claim(&rival(claim)).await, kind)?;
    says("the owner's claim", storage.claim(claim).await, kind)?;
    says("load", storage.load(&claim.key).await, kind)?;
    for claim in [claim, &rival(claim)] {
        says("complete", storage.complete(&completion(claim, &result("1")?)).await, kind)?;
        says("release", storage.release(&releasing(claim)).await, kind)?;
        let mut renewed = storage.renew(&[renewal(claim)]).await;
        same("the number of answers", &renewed.len(), &1)?;
        if let Some(renewed) = renewed.pop() {
            says("renew", renewed, kind)?;
        }
    }
    Ok(())
}

fn says<T: std::fmt::Debug>(
    call: &str,
    answer: Result<T, StorageError>,
    kind: StorageErrorKind,
) -> Verdict {
    match answer {
        Err(error) => same(call, &error.kind(), &kind),
        Ok(answer) => Err(Complaint::Violated(format!("{call} answers {answer:?}"))),
    }
}
