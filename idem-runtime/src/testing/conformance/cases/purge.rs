//! Removing expired records, and no others.

use std::time::Duration;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::{Harm, Harness};
use super::super::stage::{SHORT, Stage, completion, failure, parks, releasing, result, rival};
use super::cases;
use crate::record::CrashPolicy;
use crate::storage::{Claim, Complete};

const KEEPS: &str = "No record is removed before its retention is over; a `Processing` record's \
    retention outlives its lease.";
const LIMIT: &str =
    "At most `limit` records are removed, none with a limit of 0; the answer is their number.";
const UNREADABLE: &str = "An unreadable record does not stop the purge, and stays unless its \
    retention is readable and over.";
const REMOVES: &str = "A backend that expires records by itself has nothing to do and answers 0.";

cases! { "purge";
    LIMIT => alone [at_most_the_limit_is_removed, none_is_removed_with_a_limit_of_none],
    KEEPS => alone [live_records_stay],
    UNREADABLE => alone [unreadable_records_stay_and_others_go],
    REMOVES => alone [purged_keys_are_free],
}

async fn live_records_stay<H: Harness>(stage: &Stage<H>) -> Verdict {
    let parked = Claim {
        lease: SHORT,
        ttl: SHORT,
        on_crash: CrashPolicy::Park,
        ..stage.claim("indeterminate, ttl over")?
    };
    let parked = stage.acquire(parked).await?;
    stage.outlive(SHORT).await;
    parks(stage.storage().claim(&Claim { ttl: SHORT, ..rival(&parked) }).await?)?;
    let live = [
        parked,
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
        stage.same_record(&claim.key, Some(before), after.as_ref())?;
    }
    Ok(())
}

/// Number of expired records where purges are counted.
const EXPIRED: u64 = 20;
/// Leftover records of other cases may expire during a count, but only once each.
const COUNTS: u32 = 6;

async fn at_most_the_limit_is_removed<H: Harness>(stage: &Stage<H>) -> Verdict {
    if stage.harness.expires_by_itself() {
        return Ok(());
    }
    // One limit far above the number of records, one that divides it, and one that does not.
    for limit in [1_000, 4, 3] {
        counted(stage, &format!("limit {limit}"), limit).await?;
    }
    Ok(())
}

/// Checks that purges report exactly the number of expired records.
async fn counted<H: Harness>(stage: &Stage<H>, name: &str, limit: usize) -> Verdict {
    let mut counts = Vec::new();
    for attempt in 0..COUNTS {
        purge_all(stage, 1_000).await?;
        expired(stage, &format!("{name}, attempt {attempt}")).await?;
        match purge_all(stage, limit).await? {
            EXPIRED => return Ok(()),
            count => counts.push(count),
        }
        stage.elapse(SHORT * (1 << attempt)).await;
    }
    ensure(false, || {
        format!("purges of at most {limit} report {counts:?} removed of {EXPIRED} expired records")
    })
}

async fn none_is_removed_with_a_limit_of_none<H: Harness>(stage: &Stage<H>) -> Verdict {
    if stage.harness.expires_by_itself() {
        return Ok(());
    }
    let mut counts = Vec::new();
    for attempt in 0..COUNTS {
        purge_all(stage, 1_000).await?;
        expired(stage, &format!("attempt {attempt}")).await?;
        for _ in 0..3 {
            same("a purge of none", &stage.storage().purge(0).await?, &0)?;
        }
        match purge_all(stage, 1_000).await? {
            EXPIRED => return Ok(()),
            count => counts.push(count),
        }
        stage.elapse(SHORT * (1 << attempt)).await;
    }
    ensure(false, || {
        format!("after purges of none {counts:?} of {EXPIRED} expired records are left")
    })
}

async fn unreadable_records_stay_and_others_go<H: Harness>(stage: &Stage<H>) -> Verdict {
    let damaged = stage.processing("damaged").await?;
    let newer = stage.finished("newer", &result("1")?).await?;
    stage.inflict(Harm::Garbage(&damaged.key)).await?;
    stage.inflict(Harm::NewerVersion(&newer.key)).await?;
    let expired = expired(stage, "expired").await?;
    purge_all(stage, 7).await?;
    for claim in [&damaged, &newer] {
        let loaded = stage.storage().load(&claim.key).await;
        ensure(loaded.is_err(), || format!("the load of {:?} is {loaded:?}", claim.key))?;
    }
    for claim in &expired {
        same("load", &stage.storage().load(&claim.key).await?, &None)?;
    }
    Ok(())
}

async fn purged_keys_are_free<H: Harness>(stage: &Stage<H>) -> Verdict {
    let expired = expired(stage, "key").await?;
    let removed = purge_all(stage, 1_000).await?;
    if stage.harness.expires_by_itself() {
        same("what a purge of a backend that expires records by itself removes", &removed, &0)?;
    }
    for claim in &expired {
        same("load", &stage.storage().load(&claim.key).await?, &None)?;
    }
    same("what a scan lists", &stage.listed(100).await?.len(), &0)?;
    for claim in &expired {
        stage.acquire(rival(claim)).await?;
    }
    Ok(())
}

/// Keys with expired records: running, finished and released.
async fn expired<H: Harness>(stage: &Stage<H>, name: &str) -> Verdict<Vec<Claim>> {
    let mut claims = Vec::new();
    for number in 0..EXPIRED {
        let claim = stage.claim(&format!("{name}, {number}"))?;
        let claim = stage.acquire(Claim { lease: SHORT, ttl: TINY, ..claim }).await?;
        match number % 3 {
            0 => {
                let complete = Complete { ttl: TINY, ..completion(&claim, &result("1")?) };
                stage.storage().complete(&complete).await?;
            }
            1 => {
                stage.storage().release(&releasing(&claim)).await?;
            }
            _ => {}
        }
        claims.push(claim);
    }
    stage.outlive(SHORT + TINY).await;
    Ok(claims)
}

/// A retention that is over before the next call.
const TINY: Duration = Duration::from_millis(1);

/// Purges until nothing is left; returns the number of removed records.
async fn purge_all<H: Harness>(stage: &Stage<H>, limit: usize) -> Verdict<u64> {
    let mut total = 0;
    for _ in 0..100_000 {
        let removed = stage.storage().purge(limit).await?;
        ensure(removed <= limit as u64, || {
            format!("a purge of at most {limit} says that it removed {removed}")
        })?;
        total += removed;
        if removed == 0 {
            return Ok(total);
        }
    }
    Err(Complaint::Violated("purge never answers 0".into()))
}
