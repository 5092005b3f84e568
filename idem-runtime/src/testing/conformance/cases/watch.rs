//! Wake-ups.

use std::time::Duration;

use tokio::time::timeout;

use super::super::check::{Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{Stage, completion, failure, releasing, result};
use super::cases;
use crate::storage::{Claim, Storage, Wakeup, Written};

const NONE: &str = "`None`: the backend has no wake-ups; waiters poll.";
const WAKES: &str = "Otherwise the wake-up comes soon after a `complete` or `release` that happened after this method returned. It may \
                     come without a change, and it may be lost: waiters poll beside it.";

cases! { "watch";
    NONE => [every_key_has_wake_ups_or_none_has],
    WAKES => [
        complete_wakes,
        release_wakes,
        change_before_waiting_wakes,
        all_waiters_of_a_key_are_woken,
        dropped_waiter_leaves_the_others_subscribed,
    ],
}

/// A wake-up may be lost, but not one after the other.
const ROUNDS: usize = 3;
const SOON: Duration = Duration::from_secs(1);

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

/// In one of a few rounds, each with a key of its own, the change wakes; or the backend has no wake-ups.
async fn in_some_round<H: Harness, F: Future<Output = Verdict<bool>> + Send>(
    stage: &Stage<H>,
    change: &str,
    round: impl Fn(Stage<H>, Claim, Wakeup) -> F,
) -> Verdict {
    for number in 0..ROUNDS {
        let claim = stage.processing(&format!("key {number}")).await?;
        let Some(wakeup) = stage.storage().watch(&claim.key).await? else { return Ok(()) };
        if round(stage.clone(), claim, wakeup).await? {
            return Ok(());
        }
    }
    ensure(false, || format!("{ROUNDS} times no wake-up within {SOON:?} of a {change}"))
}
