//! The exact deadlines of leases and retentions: to the millisecond on an exact clock, otherwise
//! between the readings of the clock before and after each call.

use std::time::Duration;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{LONG, Stage, completion, releasing, replayed, result, rival, stranger};
use super::cases;
use crate::record::{CrashPolicy, Fence, Record, State, Timestamp};
use crate::storage::{Claim, Claimed, Complete, Written};

pub(super) const DEADLINE: &str = "A deadline is the time of the verb plus the duration in whole \
    milliseconds, rounded up. It has passed for every verb at or after that time: a lease is live, \
    and a record is kept, up to the millisecond before.";
const LIVE: &str = "`Processing` by another owner, lease live: `InProgress` with the remaining \
    time, more than zero and at most the lease.";

cases! { "deadline";
    DEADLINE => [
        lease_is_over_at_its_deadline,
        renewed_lease_is_over_at_its_deadline,
        takers_lease_is_over_at_its_deadline,
        result_is_forgotten_at_its_deadline,
        released_key_is_forgotten_at_its_deadline,
        dead_owners_record_is_forgotten_at_its_deadline,
        fractions_of_a_millisecond_are_rounded_up,
    ],
    LIVE => [lease_left_is_what_is_left],
}

const MILLI: Duration = Duration::from_millis(1);
/// Lease and retention to wait for where the clock cannot be advanced.
const SOME: Duration = Duration::from_millis(700);
/// Polling interval for a deadline on an inexact clock.
const LOOK: Duration = Duration::from_millis(15);
/// Allowed difference between a server's own readings of its clock: some read it once for a batch.
const GRAIN: Duration = Duration::from_millis(5);

/// The time of a call by the storage's clock: the readings before and after it.
#[derive(Clone, Copy)]
struct When {
    first: Timestamp,
    last: Timestamp,
}

impl When {
    /// Makes a call and takes the readings around it.
    async fn of<H: Harness, T>(stage: &Stage<H>, call: impl Future<Output = T>) -> (Self, T) {
        let first = stage.harness.now().await;
        let answer = call.await;
        (Self { first, last: stage.harness.now().await }, answer)
    }

    /// The deadline `duration` later.
    fn after(self, duration: Duration) -> Self {
        Self { first: self.first.after(duration), last: self.last.after(duration) }
    }
}

/// One check of a deadline.
struct Observation {
    when: When,
    is_over: bool,
}

/// Checks that a lease or record lasts up to the millisecond before `deadline`, and no longer.
async fn ends_at<H: Harness, F: Future<Output = Verdict<bool>>>(
    stage: &Stage<H>,
    what: &str,
    deadline: When,
    is_over: impl Fn() -> F,
) -> Verdict {
    if stage.harness.clock_is_exact() {
        // Some time before, which finds small and large errors; then in the last millisecond, and
        // at the deadline.
        for before in
            [MILLI * 60_000, MILLI * 1_000, MILLI * 400, MILLI * 100, MILLI * 10, MILLI * 2, MILLI]
        {
            let left = deadline.first.left_at(stage.harness.now().await);
            stage.elapse(left.saturating_sub(before)).await;
            let left = deadline.first.left_at(stage.harness.now().await);
            ensure(!is_over().await?, || format!("{what} is over {left:?} before its deadline"))?;
        }
        stage.elapse(MILLI).await;
        return ensure(is_over().await?, || format!("{what} is not over at its deadline"));
    }
    loop {
        let (when, is_over) = When::of(stage, is_over()).await;
        let Observation { when, is_over } = Observation { when, is_over: is_over? };
        if is_over {
            let early = deadline.first.left_at(when.last.after(GRAIN));
            return ensure(early.is_zero(), || {
                format!("{what} is over {early:?} before its deadline")
            });
        }
        let late = when.first.left_at(deadline.last.after(GRAIN));
        ensure(late.is_zero() || when.first < deadline.last.after(GRAIN), || {
            format!("{what} is not over {late:?} after its deadline")
        })?;
        stage.elapse(LOOK).await;
    }
}

/// Whether a rival's claim takes over from an owner or parks it. Until then the claim changes
/// nothing.
async fn is_taken<H: Harness>(stage: &Stage<H>, owner: &Claim) -> Verdict<bool> {
    match stage.storage().claim(&rival(owner)).await? {
        Claimed::InProgress { .. } => Ok(false),
        Claimed::Acquired { recovered: true, .. } | Claimed::Parked(_) => Ok(true),
        other => Err(Complaint::Violated(format!("a rival's claim is answered {other:?}"))),
    }
}

/// The leases under test: many on an exact clock, where they cost no waiting.
fn leases<H: Harness>(stage: &Stage<H>) -> Vec<(String, CrashPolicy, Duration)> {
    let leases: &[Duration] = if stage.harness.clock_is_exact() {
        &[
            MILLI,
            MILLI.saturating_mul(2),
            MILLI.saturating_mul(999),
            SOME,
            Duration::from_secs(30),
            LONG,
        ]
    } else {
        &[SOME]
    };
    let policies = [CrashPolicy::Retry, CrashPolicy::Park];
    let with_name = |(policy, lease): (CrashPolicy, Duration)| {
        (format!("{policy:?}, {lease:?}"), policy, lease)
    };
    policies
        .into_iter()
        .flat_map(|policy| leases.iter().map(move |lease| (policy, *lease)))
        .map(with_name)
        .collect()
}

async fn lease_is_over_at_its_deadline<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash, lease) in leases(stage) {
        let claim = Claim { lease, on_crash, ..stage.claim(&name)? };
        let (when, claim) = When::of(stage, stage.acquire(claim)).await;
        let claim = claim?;
        let what = format!("the lease of {lease:?} of {:?}", claim.key);
        ends_at(stage, &what, when.after(lease), || is_taken(stage, &claim)).await?;
    }
    Ok(())
}

async fn renewed_lease_is_over_at_its_deadline<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash, lease) in leases(stage) {
        let claim = Claim { lease, on_crash, ..stage.claim(&name)? };
        let claim = stage.acquire(claim).await?;
        stage.elapse(lease / 3).await;
        let (when, renewed) = When::of(stage, stage.renew(&claim)).await;
        same("renew", &renewed?, &Written::Done)?;
        let what = format!("the renewed lease of {lease:?} of {:?}", claim.key);
        ends_at(stage, &what, when.after(lease), || is_taken(stage, &claim)).await?;
    }
    Ok(())
}

async fn takers_lease_is_over_at_its_deadline<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (name, on_crash, lease) in leases(stage) {
        let dead = stage.crashed(&name, CrashPolicy::Retry).await?;
        let taker = Claim { lease, on_crash, ..rival(&dead) };
        let (when, answer) = When::of(stage, stage.storage().claim(&taker)).await;
        let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: true };
        same("the takeover", &answer?, &acquired)?;
        let what = format!("the taker's lease of {lease:?} of {:?}", dead.key);
        ends_at(stage, &what, when.after(lease), || is_taken(stage, &taker)).await?;
    }
    Ok(())
}

/// The retentions under test.
fn ttls<H: Harness>(stage: &Stage<H>) -> &'static [Duration] {
    if stage.harness.clock_is_exact() { &[MILLI, SOME, LONG] } else { &[SOME] }
}

/// Whether a record is gone, for both `load` and `scan`.
async fn is_gone<H: Harness>(stage: &Stage<H>, claim: &Claim) -> Verdict<bool> {
    let loaded = stage.storage().load(&claim.key).await?.is_none();
    if stage.harness.clock_is_exact() {
        let listed = stage.listed(100).await?;
        let is_listed = listed.iter().any(|(key, _)| *key == claim.key);
        same("whether a scan lists what load finds", &is_listed, &!loaded)?;
    }
    Ok(loaded)
}

async fn result_is_forgotten_at_its_deadline<H: Harness>(stage: &Stage<H>) -> Verdict {
    for ttl in ttls(stage) {
        let claim = stage.processing(&format!("{ttl:?}")).await?;
        let complete = Complete { ttl: *ttl, ..completion(&claim, &result("1")?) };
        let (when, answer) = When::of(stage, stage.storage().complete(&complete)).await;
        same("complete", &answer?, &Written::Done)?;
        let what = format!("the result of {:?}, ttl {ttl:?},", claim.key);
        ends_at(stage, &what, when.after(*ttl), async || {
            let gone = is_gone(stage, &claim).await?;
            if !gone && stage.harness.clock_is_exact() {
                replayed(stage.storage().claim(&rival(&claim)).await?)?;
            }
            Ok(gone)
        })
        .await?;
        stage.acquire(stranger(&claim)?).await?;
    }
    Ok(())
}

async fn released_key_is_forgotten_at_its_deadline<H: Harness>(stage: &Stage<H>) -> Verdict {
    for ttl in ttls(stage) {
        let claim = Claim { ttl: *ttl, ..stage.claim(&format!("{ttl:?}"))? };
        let claim = stage.acquire(claim).await?;
        let (when, answer) = When::of(stage, stage.storage().release(&releasing(&claim))).await;
        same("release", &answer?, &Written::Done)?;
        let what = format!("the released {:?}, ttl {ttl:?},", claim.key);
        ends_at(stage, &what, when.after(*ttl), || is_gone(stage, &claim)).await?;
        stage.acquire(stranger(&claim)?).await?;
    }
    Ok(())
}

async fn dead_owners_record_is_forgotten_at_its_deadline<H: Harness>(stage: &Stage<H>) -> Verdict {
    for ttl in ttls(stage) {
        let lease = *ttl / 2 + MILLI;
        let claim = Claim { lease, ttl: *ttl, ..stage.claim(&format!("{ttl:?}"))? };
        let (when, claim) = When::of(stage, stage.acquire(claim)).await;
        let claim = claim?;
        let what = format!("the record of {:?}, lease {lease:?}, ttl {ttl:?},", claim.key);
        ends_at(stage, &what, when.after(lease + *ttl), || is_gone(stage, &claim)).await?;
        let answer = stage.storage().complete(&completion(&claim, &result("late")?)).await?;
        ensure(answer != Written::Done, || "a record that is gone is completed".to_owned())?;
        stage.acquire(stranger(&claim)?).await?;
    }
    Ok(())
}

/// Rounded down they would expire early, and rounded up twice, late.
async fn fractions_of_a_millisecond_are_rounded_up<H: Harness>(stage: &Stage<H>) -> Verdict {
    if !stage.harness.clock_is_exact() {
        // A millisecond is below the precision there.
        return Ok(());
    }
    for (micros, whole) in
        [(1, 1), (1_000, 1), (1_001, 2), (1_500, 2), (2_999, 3), (999_999, 1_000)]
    {
        let (fraction, whole) = (Duration::from_micros(micros), Duration::from_millis(whole));
        let claim = Claim { lease: fraction, ..stage.claim(&format!("lease, {micros}"))? };
        let (when, claim) = When::of(stage, stage.acquire(claim)).await;
        let claim = claim?;
        let what = format!("the lease of {fraction:?} of {:?}", claim.key);
        ends_at(stage, &what, when.after(whole), || is_taken(stage, &claim)).await?;

        let claim = stage.processing(&format!("ttl, {micros}")).await?;
        let complete = Complete { ttl: fraction, ..completion(&claim, &result("1")?) };
        let (when, answer) = When::of(stage, stage.storage().complete(&complete)).await;
        same("complete", &answer?, &Written::Done)?;
        let what = format!("the result of {:?}, ttl {fraction:?},", claim.key);
        ends_at(stage, &what, when.after(whole), || is_gone(stage, &claim)).await?;
    }
    Ok(())
}

async fn lease_left_is_what_is_left<H: Harness>(stage: &Stage<H>) -> Verdict {
    let exact = stage.harness.clock_is_exact();
    let grain = if exact { Duration::ZERO } else { GRAIN };
    for (name, lease) in [("seconds", Duration::from_secs(20)), ("minutes", LONG)] {
        let (when, claim) = {
            let claim = Claim { lease, ..stage.claim(name)? };
            When::of(stage, stage.acquire(claim)).await
        };
        let (claim, deadline) = (claim?, when.after(lease));
        for step in [Duration::ZERO, MILLI * 137, MILLI * 300] {
            stage.elapse(step).await;
            let (when, answer) = When::of(stage, stage.storage().claim(&rival(&claim))).await;
            let Claimed::InProgress { lease_left } = answer? else {
                return Err(Complaint::Violated(format!("{:?} is not in progress", claim.key)));
            };
            let least = deadline.first.left_at(when.last).saturating_sub(grain);
            let most = deadline.last.left_at(when.first) + grain;
            ensure(least <= lease_left && lease_left <= most, || {
                format!(
                    "lease_left of {:?} is {lease_left:?}, and must be {least:?} to {most:?}",
                    claim.key
                )
            })?;
        }
        let Record { state, .. } = stage.record(&claim.key).await?;
        let State::Processing { lease_until, .. } = state else {
            return Err(Complaint::Violated(format!("{:?} is not in progress", claim.key)));
        };
        super::super::check::between(
            "lease_until",
            lease_until,
            (deadline.first, deadline.last),
            grain,
        )?;
    }
    Ok(())
}
