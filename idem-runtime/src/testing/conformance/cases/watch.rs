//! Wake-ups.

use std::time::Duration;

use tokio::time::timeout;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{LONG, Stage, completion, failure, releasing, result, rival};
use super::cases;
use crate::record::Fence;
use crate::storage::{Claim, Claimed, Wakeup, Written};

const NONE: &str = "`None`: the backend has no wake-ups; waiters poll.";
const WAKES: &str = "Otherwise a wake-up follows soon after the `complete` or `release` of a \
    record that a claim found `InProgress` after this method returned, even if its owner has \
    changed since. It may come without a change, and it may be lost: waiters poll as well.";

const AFTER: &str = "It comes after the commit: a claim made on a wake-up sees the change.";

cases! { "watch";
    NONE => [every_key_has_wake_ups_or_none_has],
    WAKES => [
        complete_wakes,
        release_wakes,
        change_before_waiting_wakes,
        all_waiters_of_a_key_are_woken,
        dropped_waiter_leaves_the_others_subscribed,
        complete_after_a_renewal_wakes,
        takers_complete_wakes,
    ],
    AFTER => [woken_waiters_find_the_change],
}

/// A wake-up may be lost, but not every time.
const ROUNDS: usize = 4;
/// Generous, for a busy machine.
const SOON: Duration = Duration::from_secs(3);
/// Long enough for a waiter to subscribe and claim.
const LEASE: Duration = Duration::from_secs(1);
/// Long enough for a pending wake-up to arrive.
const QUIET: Duration = Duration::from_millis(100);

async fn every_key_has_wake_ups_or_none_has<H: Harness>(stage: &Stage<H>) -> Verdict {
    let held = stage.processing("held").await?;
    let first = stage.storage().watch(&held.key).await?;
    let again = stage.storage().watch(&held.key).await?;
    let free = stage.storage().watch(&stage.key("free")?).await?;
    same("a second watch", &again.is_some(), &first.is_some())?;
    same("a watch of a free key", &free.is_some(), &first.is_some())
}

async fn complete_wakes<H: Harness>(stage: &Stage<H>) -> Verdict {
    in_some_round(
        stage,
        "complete",
        |stage: Stage<H>, claim: Claim, mut wakeup: Wakeup| async move {
            let finish =
                if claim.key.as_str().ends_with('0') { failure("no") } else { result("1")? };
            complete_soon(&stage, &claim, &finish, wakeup.changed()).await
        },
    )
    .await
}

async fn release_wakes<H: Harness>(stage: &Stage<H>) -> Verdict {
    in_some_round(
        stage,
        "release",
        |stage: Stage<H>, claim: Claim, mut wakeup: Wakeup| async move {
            let release = releasing(&claim);
            let (woken, released) =
                tokio::join!(timeout(SOON, wakeup.changed()), stage.storage().release(&release));
            same("release", &released?, &Written::Done)?;
            Ok(woken.is_ok())
        },
    )
    .await
}

async fn change_before_waiting_wakes<H: Harness>(stage: &Stage<H>) -> Verdict {
    in_some_round(
        stage,
        "complete",
        |stage: Stage<H>, claim: Claim, mut wakeup: Wakeup| async move {
            let complete = completion(&claim, &result("1")?);
            same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
            Ok(timeout(SOON, wakeup.changed()).await.is_ok())
        },
    )
    .await
}

async fn all_waiters_of_a_key_are_woken<H: Harness>(stage: &Stage<H>) -> Verdict {
    in_some_round(
        stage,
        "complete",
        |stage: Stage<H>, claim: Claim, mut wakeup: Wakeup| async move {
            let Some(mut second) = stage.storage().watch(&claim.key).await? else {
                return Ok(false);
            };
            let both = async { tokio::join!(wakeup.changed(), second.changed()) };
            complete_soon(&stage, &claim, &result("1")?, both).await
        },
    )
    .await
}

async fn dropped_waiter_leaves_the_others_subscribed<H: Harness>(stage: &Stage<H>) -> Verdict {
    in_some_round(stage, "complete", |stage: Stage<H>, claim: Claim, first: Wakeup| async move {
        let second = stage.storage().watch(&claim.key).await?;
        drop(first);
        let Some(mut second) = second else { return Ok(false) };
        complete_soon(&stage, &claim, &result("1")?, second.changed()).await
    })
    .await
}

async fn complete_after_a_renewal_wakes<H: Harness>(stage: &Stage<H>) -> Verdict {
    in_some_round(
        stage,
        "complete",
        |stage: Stage<H>, claim: Claim, mut wakeup: Wakeup| async move {
            same("renew", &stage.renew(&claim).await?, &Written::Done)?;
            complete_soon(&stage, &claim, &result("1")?, wakeup.changed()).await
        },
    )
    .await
}

async fn takers_complete_wakes<H: Harness>(stage: &Stage<H>) -> Verdict {
    for number in 0..ROUNDS {
        let dead = Claim { lease: LEASE, ..stage.claim(&format!("key {number}"))? };
        let dead = stage.acquire(dead).await?;
        let Some(mut wakeup) = stage.storage().watch(&dead.key).await? else { return Ok(()) };
        let waiter = stage.storage().claim(&rival(&dead)).await?;
        if !matches!(waiter, Claimed::InProgress { .. }) {
            // The subscription took longer than the lease.
            continue;
        }
        stage.outlive(LEASE).await;
        let taker = Claim { lease: LONG, ..rival(&dead) };
        let answer = stage.storage().claim(&taker).await?;
        same(
            "the takeover",
            &answer,
            &Claimed::Acquired { fence: Fence::FIRST.next(), recovered: true },
        )?;
        // The takeover itself may have sent wake-ups, which are not under test.
        while timeout(QUIET, wakeup.changed()).await.is_ok() {}
        if complete_soon(stage, &taker, &result("1")?, wakeup.changed()).await? {
            return Ok(());
        }
    }
    never_woken("taker's complete")
}

/// A wake-up without a change is allowed, if another follows the change. So a round fails when a
/// waiter is woken, finds no change, and is not woken again; since a wake-up may be lost, more than
/// one failed round counts.
async fn woken_waiters_find_the_change<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut in_vain = 0;
    for number in 0..ROUNDS * 2 {
        let claim = stage.processing(&format!("key {number}")).await?;
        let Some(mut wakeup) = stage.storage().watch(&claim.key).await? else { return Ok(()) };
        contend(stage, &claim).await?;
        let waiter = stage.clone();
        let asking = rival(&claim);
        let waiting = tokio::spawn(async move {
            let mut woken = false;
            while timeout(SOON, wakeup.changed()).await.is_ok() {
                match waiter.storage().claim(&asking).await? {
                    Claimed::InProgress { .. } => woken = true,
                    _ => return Verdict::Ok(false),
                }
            }
            Ok(woken)
        });
        // The waiter is waiting by then, and sees the state at the moment of its wake-up.
        tokio::time::sleep(QUIET / 10).await;
        if number % 2 == 0 {
            let complete = completion(&claim, &result("1")?);
            same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
        } else {
            let release = releasing(&claim);
            same("release", &stage.storage().release(&release).await?, &Written::Done)?;
        }
        let panicked = |_| Complaint::Violated("a call panicked".into());
        in_vain += usize::from(waiting.await.map_err(panicked)??);
        if in_vain > 1 {
            return ensure(false, || {
                format!("waiters for {:?} are woken before the change, and not after it", claim.key)
            });
        }
    }
    Ok(())
}

/// A waiter's claim: it tells the storage that there is a waiter.
async fn contend<H: Harness>(stage: &Stage<H>, claim: &Claim) -> Verdict {
    let answer = stage.storage().claim(&rival(claim)).await?;
    ensure(matches!(answer, Claimed::InProgress { .. }), || {
        format!("the waiter's claim is answered {answer:?}")
    })
}

async fn complete_soon<H: Harness, T>(
    stage: &Stage<H>,
    claim: &Claim,
    finish: &crate::record::Finish,
    wait: impl Future<Output = T>,
) -> Verdict<bool> {
    let complete = completion(claim, finish);
    let (woken, completed) = tokio::join!(timeout(SOON, wait), stage.storage().complete(&complete));
    same("complete", &completed?, &Written::Done)?;
    Ok(woken.is_ok())
}

/// Checks that the change wakes in one of a few rounds, each with a key of its own, or that the
/// backend has no wake-ups.
async fn in_some_round<H: Harness, F: Future<Output = Verdict<bool>> + Send>(
    stage: &Stage<H>,
    change: &str,
    round: impl Fn(Stage<H>, Claim, Wakeup) -> F,
) -> Verdict {
    for number in 0..ROUNDS {
        let claim = stage.processing(&format!("key {number}")).await?;
        let Some(wakeup) = stage.storage().watch(&claim.key).await? else { return Ok(()) };
        contend(stage, &claim).await?;
        if round(stage.clone(), claim, wakeup).await? {
            return Ok(());
        }
    }
    never_woken(change)
}

fn never_woken(change: &str) -> Verdict {
    ensure(false, || format!("{ROUNDS} times no wake-up within {SOON:?} of a {change}"))
}
