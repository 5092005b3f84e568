//! Two handles on the same data: each sees the other's writes, and they agree.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{
    LONG, SHORT, Stage, completion, releasing, renewal, replayed, result, rival, stranger,
};
use super::cases;
use crate::record::{CrashPolicy, Fence};
use crate::storage::{Claim, Claimed, Lost, Written};

const HANDLES: &str = "All handles on the same data, in this process and in others, agree: each \
    sees what any other has answered, and none decides from cached state or by a lock of its own.";
const WAKES: &str = "Otherwise a wake-up follows soon after the `complete` or `release` of a \
    record that a claim found `InProgress` after this method returned, even if its owner has \
    changed since. It may come without a change, and it may be lost: waiters poll as well.";

cases! { "handles";
    HANDLES => [
        each_sees_what_the_other_wrote,
        one_of_two_acquires,
        one_of_two_takes_over,
        takeover_or_late_completion_wins_not_both,
    ],
    WAKES => [waiters_of_the_other_are_woken],
}

/// Number of keys that two handles race for.
const RACES: usize = 24;

async fn each_sees_what_the_other_wrote<H: Harness>(stage: &Stage<H>) -> Verdict {
    let second = stage.second().await?;
    let (here, there) = (stage.storage(), stage.on(&second));
    let claim = stage.processing("key").await?;
    let answer = there.claim(&rival(&claim)).await?;
    ensure(matches!(answer, Claimed::InProgress { .. }), || {
        format!("the second handle answers the rival {answer:?}")
    })?;
    let answer = there.claim(&stranger(&claim)?).await?;
    same("the stranger's claim on the second handle", &answer, &Claimed::Mismatch)?;
    let first = Claimed::Acquired { fence: Fence::FIRST, recovered: false };
    same("the owner's claim on the second handle", &there.claim(&claim).await?, &first)?;
    let renewed = there.renew(&[renewal(&claim)]).await;
    let renewed: Vec<_> = renewed.into_iter().collect::<Result<_, _>>()?;
    same("the owner's renew on the second handle", &renewed, &vec![Written::Done])?;
    let complete = completion(&claim, &result("1")?);
    let answer = there.complete(&complete).await?;
    same("the owner's complete on the second handle", &answer, &Written::Done)?;
    for storage in [here, there] {
        let replay = replayed(storage.claim(&rival(&claim)).await?)?;
        same("the replay", &replay.finish, &complete.finish)?;
    }

    let released = stage.processing("released").await?;
    let answer = there.release(&releasing(&released)).await?;
    same("the release on the second handle", &answer, &Written::Done)?;
    let next = stage.acquire_released(rival(&released), 2).await?;
    let answer = there.complete(&completion(&released, &result("1")?)).await?;
    same("the late complete", &answer, &Written::LeaseLost(Lost::TakenOver))?;
    let loaded = there.load(&released.key).await?;
    same("the owner that is loaded", &loaded.map(|record| record.owner), &Some(next.owner))
}

/// Makes both claims concurrently, each on a handle and a thread of its own.
async fn both<H: Harness>(
    stage: &Stage<H>,
    second: &Arc<H::Storage>,
    (one, other): (Claim, Claim),
) -> Verdict<[Claimed; 2]> {
    let second = Arc::clone(second);
    let call = |claim: Claim, second: Option<Arc<H::Storage>>| {
        async move |stage: Stage<H>| match &second {
            Some(second) => stage.on(second).claim(&claim).await,
            None => stage.storage().claim(&claim).await,
        }
    };
    let answers = stage.at_once([call(one, None), call(other, Some(second))]).await?;
    let mut answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let (Some(last), Some(first)) = (answers.pop(), answers.pop()) else {
        return Err(Complaint::Violated("two claims gave fewer than two answers".into()));
    };
    Ok([first, last])
}

fn one_acquires(key: &Claim, answers: &[Claimed; 2], acquired: &Claimed) -> Verdict {
    let is_other = |answer: &Claimed| matches!(answer, Claimed::InProgress { .. });
    let holds = match answers {
        [one, other] if one == acquired => is_other(other),
        [one, other] => other == acquired && is_other(one),
    };
    ensure(holds, || {
        format!("claims of {:?} on two handles at once are answered {answers:?}", key.key)
    })
}

async fn one_of_two_acquires<H: Harness>(stage: &Stage<H>) -> Verdict {
    let second = stage.second().await?;
    for number in 0..RACES {
        let claim = stage.claim(&format!("key {number}"))?;
        let answers = both(stage, &second, (claim.clone(), rival(&claim))).await?;
        let acquired = Claimed::Acquired { fence: Fence::FIRST, recovered: false };
        one_acquires(&claim, &answers, &acquired)?;
    }
    Ok(())
}

async fn one_of_two_takes_over<H: Harness>(stage: &Stage<H>) -> Verdict {
    let second = stage.second().await?;
    let mut dead = Vec::new();
    for number in 0..RACES / 2 {
        let claim = Claim { lease: SHORT, ..stage.claim(&format!("key {number}"))? };
        dead.push(stage.acquire(claim).await?);
    }
    stage.outlive(SHORT).await;
    for dead in dead {
        let taker = Claim { lease: LONG, ..rival(&dead) };
        let answers = both(stage, &second, (taker.clone(), rival(&taker))).await?;
        let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: true };
        one_acquires(&dead, &answers, &acquired)?;
    }
    Ok(())
}

async fn takeover_or_late_completion_wins_not_both<H: Harness>(stage: &Stage<H>) -> Verdict {
    let second = stage.second().await?;
    let mut dead = Vec::new();
    for number in 0..RACES / 2 {
        let on_crash = CrashPolicy::Retry;
        let claim = Claim { lease: SHORT, on_crash, ..stage.claim(&format!("key {number}"))? };
        dead.push(stage.acquire(claim).await?);
    }
    stage.outlive(SHORT).await;
    for late in dead {
        let (taker, finish) = (Claim { lease: LONG, ..rival(&late) }, result("late")?);
        let complete = completion(&late, &finish);
        let (of_taker, of_late) = (stage.clone(), stage.clone());
        let claiming = async { of_taker.on(&second).claim(&taker).await };
        let completing = tokio::spawn(async move { of_late.storage().complete(&complete).await });
        let claimed = claiming.await?;
        let completed =
            completing.await.map_err(|_| Complaint::Violated("a call panicked".into()))??;
        match (completed, claimed) {
            (Written::Done, Claimed::Replay(replay)) => {
                same("the replay", &replay.finish, &finish)?;
            }
            (Written::LeaseLost(Lost::TakenOver), Claimed::Acquired { .. }) => {}
            both => {
                let key = &late.key;
                let what = format!("complete of {key:?} and claim on two handles get {both:?}");
                return Err(Complaint::Violated(what));
            }
        }
    }
    Ok(())
}

/// Generous, for a busy machine.
const SOON: Duration = Duration::from_secs(3);

async fn waiters_of_the_other_are_woken<H: Harness>(stage: &Stage<H>) -> Verdict {
    const ROUNDS: usize = 4;
    let second = stage.second().await?;
    let there = stage.on(&second);
    for number in 0..ROUNDS {
        let claim = stage.processing(&format!("key {number}")).await?;
        let Some(mut wakeup) = there.watch(&claim.key).await? else { return Ok(()) };
        there.claim(&rival(&claim)).await?;
        let complete = completion(&claim, &result("1")?);
        same("complete", &stage.storage().complete(&complete).await?, &Written::Done)?;
        if timeout(SOON, wakeup.changed()).await.is_ok() {
            return Ok(());
        }
    }
    ensure(false, || {
        format!(
            "{ROUNDS} times no wake-up on the second handle within {SOON:?} of a complete on the first"
        )
    })
}
