//! Removing what has expired, and nothing else.

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{SHORT, Stage, completion, failure, releasing, result, rival};
use super::cases;
use crate::record::CrashPolicy;
use crate::storage::{Claim, Complete, Storage};

const KEEPS: &str = "A record whose retention is not over is never removed; a `Processing` record's retention outlives its lease.";
const LIMIT: &str = "At most `limit` are removed; the answer is how many.";
const REMOVES: &str = "A backend that expires records by itself has nothing to do and answers 0.";

cases! { "purge";
    LIMIT => [at_most_the_limit_is_removed],
    KEEPS => [live_records_stay],
    REMOVES => [purged_keys_are_free],
}

async fn live_records_stay<H: Harness>(stage: &Stage<H>) -> Verdict {
    let live = [
        stage.acquire(Claim { ttl: SHORT, ..stage.claim("lease live, ttl short")? }).await?,
        stage.crashed("lease over, to be retried", CrashPolicy::Retry).await?,
        stage.crashed("lease over, to be parked", CrashPolicy::Park).await?,
        stage.parked("indeterminate").await?,
        stage.finished("completed", &result("1")?).await?,
        stage.finished("failed", &failure("declined")).await?,
        stage.released(stage.claim("released")?).await?,
        stage
            .acquire(Claim {
                lease: SHORT,
                ttl: SHORT,
                on_crash: CrashPolicy::Park,
                ..stage.claim("lease and ttl over, to be parked")?
            })
            .await?,
    ];
    stage.outlive(SHORT + SHORT).await;
    let mut before = Vec::new();
    for claim in &live {
        before.push(stage.record(&claim.key).await?);
    }
    purge_all(stage, 1_000).await?;
    for (claim, before) in live.iter().zip(&before) {
        let after = stage.storage().load(&claim.key).await?;
        super::super::check::unchanged(Some(before), after.as_ref())?;
    }
    Ok(())
}

async fn at_most_the_limit_is_removed<H: Harness>(stage: &Stage<H>) -> Verdict {
    expired(stage).await?;
    same("purge of none", &stage.storage().purge(0).await?, &0)?;
    // How many that are says nothing: other cases on the same server purge too.
    purge_all(stage, 3).await.map(drop)
}

async fn purged_keys_are_free<H: Harness>(stage: &Stage<H>) -> Verdict {
    let expired = expired(stage).await?;
    purge_all(stage, 1_000).await?;
    for claim in &expired {
        same("load", &stage.storage().load(&claim.key).await?, &None)?;
    }
    same("what a scan lists", &stage.listed(100).await?.len(), &0)?;
    for claim in &expired {
        stage.acquire(rival(claim)).await?;
    }
    Ok(())
}

/// 20 keys whose records' retention is over: at work, finished, and released ones.
async fn expired<H: Harness>(stage: &Stage<H>) -> Verdict<Vec<Claim>> {
    let mut claims = Vec::new();
    for number in 0..20 {
        let claim = stage.claim(&format!("key {number}"))?;
        let claim = stage.acquire(Claim { lease: SHORT, ttl: SHORT, ..claim }).await?;
        match number % 3 {
            0 => {
                let complete = Complete { ttl: SHORT, ..completion(&claim, &result("1")?) };
                stage.storage().complete(&complete).await?;
            }
            1 => {
                stage.storage().release(&releasing(&claim)).await?;
            }
            _ => {}
        }
        claims.push(claim);
    }
    stage.outlive(SHORT + SHORT).await;
    Ok(claims)
}

/// Purges until there is nothing left, and says how many records that were.
async fn purge_all<H: Harness>(stage: &Stage<H>, limit: usize) -> Verdict<u64> {
    let mut total = 0;
    for _ in 0..100_000 {
        let removed = stage.storage().purge(limit).await?;
        ensure(removed <= limit as u64, || format!("{removed} removed with a limit of {limit}"))?;
        total += removed;
        if removed == 0 {
            return Ok(total);
        }
    }
    Err(Complaint::Violated("purge never says that nothing is left".into()))
}
