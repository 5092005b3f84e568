//! The deciding clock, and extreme durations.

use std::time::Duration;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{Stage, completion, replayed, result, rival};
use super::cases;
use crate::record::{CrashPolicy, Fence, State};
use crate::storage::{Claim, Claimed, Complete, Written};

const CLOCK: &str = "With a server, leases and retention run on the server's clock, never on the \
    caller's wall clock.";

const LONG: &str = "A duration too long for the backend is the longest that it can represent: no \
    sum overflows, and nothing expires early.";

cases! { "time";
    CLOCK => [deadlines_are_the_storages_own],
    LONG => [huge_durations_never_end],
    super::deadline::DEADLINE => [durations_below_a_millisecond_are_not_none],
}

async fn deadlines_are_the_storages_own<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut last = stage.harness.now().await;
    for round in 0..3 {
        stage.elapse(Duration::from_millis(400)).await;
        let before = stage.harness.now().await;
        ensure(before >= last.after(Duration::from_millis(400)), || {
            "the harness's clock does not follow `elapse`".to_owned()
        })?;
        let claim = stage.processing(&format!("key {round}")).await?;
        let after = stage.harness.now().await;
        let State::Processing { lease_until, .. } = stage.record(&claim.key).await?.state else {
            return Err(Complaint::Violated("the record is not `Processing`".into()));
        };
        stage.between(
            "lease_until",
            lease_until,
            (before.after(claim.lease), after.after(claim.lease)),
        )?;
        last = before;
    }
    Ok(())
}

async fn huge_durations_never_end<H: Harness>(stage: &Stage<H>) -> Verdict {
    let huge = [
        ("millis of u64", Duration::from_millis(u64::MAX)),
        ("millis of i64", Duration::from_millis(i64::MAX.unsigned_abs())),
        ("exact doubles", Duration::from_millis(1 << 53)),
        ("the most there is", Duration::MAX),
    ];
    for (name, duration) in huge {
        for on_crash in [CrashPolicy::Retry, CrashPolicy::Park] {
            let name = format!("{name}, {on_crash:?}");
            never_ends(stage, Claim { on_crash, ..stage.claim(&name)? }, duration).await?;
        }
    }
    Ok(())
}

async fn never_ends<H: Harness>(stage: &Stage<H>, claim: Claim, huge: Duration) -> Verdict {
    let claim = stage.acquire(Claim { lease: huge, ttl: huge, ..claim }).await?;
    for _ in 0..2 {
        stage.elapse(Duration::from_millis(50)).await;
        match stage.storage().claim(&rival(&claim)).await? {
            Claimed::InProgress { lease_left } if !lease_left.is_zero() => {}
            other => return Err(Complaint::Violated(format!("the rival gets {other:?}"))),
        }
        same("renew", &stage.renew(&claim).await?, &Written::Done)?;
    }
    let now = stage.harness.now().await;
    let record = stage.record(&claim.key).await?;
    ensure(record.expires_at > now, || "the record's expiry lies in the past".to_owned())?;
    let complete = Complete { ttl: huge, ..completion(&claim, &result("1")?) };
    same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
    stage.elapse(Duration::from_millis(50)).await;
    replayed(stage.storage().claim(&rival(&claim)).await?).map(drop)
}

async fn durations_below_a_millisecond_are_not_none<H: Harness>(stage: &Stage<H>) -> Verdict {
    for tiny in [Duration::from_nanos(1), Duration::from_micros(999)] {
        let name = format!("lease of {}", tiny.as_nanos());
        let claim = stage.acquire(Claim { lease: tiny, ..stage.claim(&name)? }).await?;
        stage.outlive(tiny).await;
        let answer = stage.storage().claim(&rival(&claim)).await?;
        same(
            "the takeover",
            &answer,
            &Claimed::Acquired { fence: Fence::new(2), recovered: true },
        )?;

        let claim = stage.processing(&format!("ttl of {}", tiny.as_nanos())).await?;
        let complete = Complete { ttl: tiny, ..completion(&claim, &result("1")?) };
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
        stage.outlive(tiny).await;
        stage.acquire(rival(&claim)).await?;
    }
    Ok(())
}
