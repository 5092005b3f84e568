//! Extending leases.

use std::time::Duration;

use super::super::check::{Complaint, Verdict, same};
use super::super::harness::{Harm, Harness};
use super::super::stage::{
    LONG, SHORT, Stage, completion, failure, indeterminate, lost_to, renewal, result, rival,
};
use super::cases;
use crate::record::{CrashPolicy, Fence, Finish, State, Timestamp};
use crate::storage::{Claim, Claimed, Complete, Lost, Written};

const OWN: &str = "`Processing` by the same owner, lease live or expired: lease and retention \
    start again; `Done`.";
const ELSE: &str =
    "Anything else: `LeaseLost`; nothing changes, and a missing record is not created.";
const ORDER: &str = "One answer for each request, in request order; none for an empty batch.";
const BATCH: &str = "One request's failure does not fail the others.";

cases! { "renew";
    OWN => [
        live_lease_starts_again,
        lease_that_is_over_starts_again,
        retention_starts_again,
        renewal_keeps_what_was_claimed,
    ],
    ELSE => [
        rival_cannot_renew,
        dead_owner_cannot_renew_after_a_takeover,
        finished_record_cannot_be_renewed,
        indeterminate_record_cannot_be_renewed,
        released_record_cannot_be_renewed,
        record_that_is_gone_stays_gone,
    ],
    ORDER => [
        empty_batch_has_no_answers,
        answers_come_in_the_order_of_the_requests,
        large_batch_is_answered_whole,
    ],
    BATCH => [unreadable_record_fails_alone],
}

async fn live_lease_starts_again<H: Harness>(stage: &Stage<H>) -> Verdict {
    let case = async move |key: String, lease: Duration| {
        let claim = stage.acquire(Claim { lease, ..stage.claim(&key)? }).await?;
        stage.elapse(lease * 6 / 10).await;
        same("renew", &stage.renew(&claim).await?, &Written::Done)?;
        stage.elapse(lease * 6 / 10).await;
        match stage.storage().claim(&rival(&claim)).await? {
            Claimed::InProgress { .. } => Ok(()),
            other => Err(Complaint::Violated(format!("the rival gets {other:?}"))),
        }
    };
    stage.given_time(Duration::from_secs(2), case).await
}

async fn lease_that_is_over_starts_again<H: Harness>(stage: &Stage<H>) -> Verdict {
    let case = async move |key: String, lease: Duration| {
        for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
            let claim = stage
                .acquire(Claim { lease, on_crash, ..stage.claim(&format!("{name}, {key}"))? })
                .await?;
            stage.outlive(lease).await;
            same("renew", &stage.renew(&claim).await?, &Written::Done)?;
            match stage.storage().claim(&rival(&claim)).await? {
                Claimed::InProgress { .. } => {}
                other => return Err(Complaint::Violated(format!("the rival gets {other:?}"))),
            }
        }
        Ok(())
    };
    stage.given_time(Duration::from_secs(1), case).await
}

async fn retention_starts_again<H: Harness>(stage: &Stage<H>) -> Verdict {
    let case = async move |key: String, ttl: Duration| {
        let lease = ttl / 4;
        let claim = stage.acquire(Claim { lease, ttl, ..stage.claim(&key)? }).await?;
        let step = (lease + ttl) * 6 / 10;
        stage.elapse(step).await;
        same("renew", &stage.renew(&claim).await?, &Written::Done)?;
        stage.elapse(step).await;
        let answer = stage.storage().complete(&completion(&claim, &result("1")?)).await?;
        same("the owner's complete", &answer, &Written::Done)
    };
    stage.given_time(Duration::from_secs(2), case).await
}

async fn renewal_keeps_what_was_claimed<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash) in [("retry", CrashPolicy::Retry), ("park", CrashPolicy::Park)] {
        renewal_keeps(stage, name, on_crash).await?;
    }
    Ok(())
}

async fn renewal_keeps<H: Harness>(stage: &Stage<H>, name: &str, on_crash: CrashPolicy) -> Verdict {
    let (lease, ttl) = (LONG / 2, LONG / 3);
    let claim = stage.acquire(Claim { lease, ttl, on_crash, ..stage.claim(name)? }).await?;
    let mut expected = stage.record(&claim.key).await?;
    stage.elapse(SHORT).await;
    let before = stage.harness.now().await;
    same("renew", &stage.renew(&claim).await?, &Written::Done)?;
    let after = stage.harness.now().await;
    let record = stage.record(&claim.key).await?;
    if let (State::Processing { lease_until, .. }, State::Processing { lease_until: renewed, .. }) =
        (&mut expected.state, &record.state)
    {
        *lease_until = *renewed;
        stage.between("lease_until", *renewed, (before.after(lease), after.after(lease)))?;
    }
    expected.expires_at = record.expires_at;
    let kept = lease + ttl;
    match on_crash {
        CrashPolicy::Retry => {
            stage.between(
                "expires_at",
                record.expires_at,
                (before.after(kept), after.after(kept)),
            )?;
        }
        CrashPolicy::Park => same("expires_at", &record.expires_at, &Timestamp::NEVER)?,
    }
    stage.same_record(&claim.key, Some(&expected), Some(&record))
}

async fn rival_cannot_renew<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.processing("key").await?;
    let answer = stage.unchanged(&claim.key, stage.renew(&rival(&claim))).await?;
    same("the rival's renew", &answer, &Written::LeaseLost(Lost::TakenOver))
}

async fn dead_owner_cannot_renew_after_a_takeover<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (dead, _) = stage.taken_over("key").await?;
    let answer = stage.unchanged(&dead.key, stage.renew(&dead)).await?;
    same("the dead owner's renew", &answer, &Written::LeaseLost(Lost::TakenOver))
}

async fn finished_record_cannot_be_renewed<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, finish) in [("completed", result("1")?), ("failed", failure("declined"))] {
        let claim = stage.finished(name, &finish).await?;
        not_renewed(stage, &claim, &finish).await?;
    }
    Ok(())
}

async fn indeterminate_record_cannot_be_renewed<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.parked("key").await?;
    not_renewed(stage, &dead, &indeterminate()).await
}

async fn not_renewed<H: Harness>(stage: &Stage<H>, claim: &Claim, finish: &Finish) -> Verdict {
    let lost = lost_to(finish, &stage.record(&claim.key).await?)?;
    for claim in [claim, &rival(claim)] {
        let answer = stage.unchanged(&claim.key, stage.renew(claim)).await?;
        same("renew", &answer, &lost)?;
    }
    Ok(())
}

async fn released_record_cannot_be_renewed<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.released(stage.claim("key")?).await?;
    for claim in [&claim, &rival(&claim)] {
        let answer = stage.unchanged(&claim.key, stage.renew(claim)).await?;
        same("renew", &answer, &Written::LeaseLost(Lost::Gone))?;
    }
    stage.acquire_released(rival(&claim), 2).await.map(drop)
}

async fn record_that_is_gone_stays_gone<H: Harness>(stage: &Stage<H>) -> Verdict {
    let never = stage.claim("never there")?;
    let released = stage.released(Claim { ttl: SHORT, ..stage.claim("released")? }).await?;
    let expired =
        stage.acquire(Claim { lease: SHORT, ttl: SHORT, ..stage.claim("expired")? }).await?;
    let forgotten = stage.processing("forgotten").await?;
    let complete = Complete { ttl: SHORT, ..completion(&forgotten, &result("1")?) };
    stage.storage().complete(&complete).await?;
    stage.outlive(SHORT + SHORT).await;
    for claim in [never, released, expired, forgotten] {
        let answer = stage.unchanged(&claim.key, stage.renew(&claim)).await?;
        same("renew", &answer, &Written::LeaseLost(Lost::Gone))?;
        same("load", &stage.storage().load(&claim.key).await?, &None)?;
        stage.acquire(rival(&claim)).await?;
    }
    Ok(())
}

async fn empty_batch_has_no_answers<H: Harness>(stage: &Stage<H>) -> Verdict {
    same("the number of answers", &stage.storage().renew(&[]).await.len(), &0)
}

async fn answers_come_in_the_order_of_the_requests<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (dead, taker) = stage.taken_over("taken over").await?;
    let own = stage.processing("own").await?;
    let finished = stage.finished("finished", &result("1")?).await?;
    let gone = stage.claim("gone")?;
    let lost = lost_to(&result("1")?, &stage.record(&finished.key).await?)?;
    let claims = [
        (&gone, Written::LeaseLost(Lost::Gone)),
        (&own, Written::Done),
        (&dead, Written::LeaseLost(Lost::TakenOver)),
        (&taker, Written::Done),
        (&finished, lost),
        (&own, Written::Done),
    ];
    let renewals: Vec<_> = claims.iter().map(|(claim, _)| renewal(claim)).collect();
    let answers = stage.storage().renew(&renewals).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    same("the answers", &answers, &claims.map(|(_, expected)| expected).to_vec())?;
    let record = stage.record(&taker.key).await?;
    same("the taker's fence", &record.fence, &Fence::new(2))
}

async fn large_batch_is_answered_whole<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut renewals = Vec::new();
    let mut expected = Vec::new();
    for number in 0..300 {
        let claim = stage.claim(&format!("key {number}"))?;
        expected.push(if number % 3 == 0 {
            stage.storage().claim(&claim).await?;
            Written::Done
        } else {
            Written::LeaseLost(Lost::Gone)
        });
        renewals.push(renewal(&claim));
    }
    let answers = stage.storage().renew(&renewals).await;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    same("the answers", &answers, &expected)
}

async fn unreadable_record_fails_alone<H: Harness>(stage: &Stage<H>) -> Verdict {
    let damaged = stage.processing("damaged").await?;
    let own = stage.processing("own").await?;
    stage.inflict(Harm::Garbage(&damaged.key)).await?;
    let renewals = [&own, &damaged, &own].map(renewal);
    let answers = stage.storage().renew(&renewals).await;
    let written: Vec<_> = answers.into_iter().map(Result::ok).collect();
    same("the answers", &written, &vec![Some(Written::Done), None, Some(Written::Done)])
}
