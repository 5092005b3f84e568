//! Concurrent verbs on one key.

use std::time::Duration;

use super::super::check::{Complaint, Verdict, ensure, same};
use super::super::harness::Harness;
use super::super::stage::{
    LONG, Stage, completion, indeterminate, parks, releasing, replayed, result, rival,
};
use super::cases;
use crate::fingerprint::Fingerprint;
use crate::record::{CrashPolicy, Fence, Finish};
use crate::storage::{Claim, Claimed, Lost, Written};

const ATOMIC: &str = "It is atomic: of two concurrent calls for one key, one sees the other's \
    effect whole or not at all.";

/// Number of concurrent callers.
const CROWD: usize = 64;
/// A lease that expires before the next call.
const TINY: Duration = Duration::from_millis(1);
/// A lease that has expired when two calls race, and is live again once one of them has renewed it.
const LATE: Duration = Duration::from_secs(1);
/// Number of races of two callers, each for another key.
const RACES: usize = 16;

cases! { "concurrent";
    ATOMIC => [
        one_of_many_claims_acquires,
        one_of_many_operations_acquires,
        one_of_many_claims_of_a_released_key_acquires,
        one_of_many_takers_acquires,
        many_claims_of_a_parked_key_replay_one_end,
        stale_completions_lose_to_the_live_owner,
        takeover_or_late_completion_wins_not_both,
        takeover_or_late_renewal_wins_not_both,
        completion_or_release_wins_not_both,
        one_of_two_results_wins,
    ],
}

async fn one_of_many_claims_acquires<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.claim("key")?;
    let answers = claim_at_once(stage, (0..CROWD).map(|_| rival(&claim))).await?;
    let acquired = Claimed::Acquired { fence: Fence::FIRST, recovered: false };
    one_and_others(&answers, &acquired, |other| matches!(other, Claimed::InProgress { .. }))
}

async fn one_of_many_operations_acquires<H: Harness>(stage: &Stage<H>) -> Verdict {
    let claim = stage.claim("key")?;
    let mut claims = Vec::new();
    for number in 0..CROWD {
        let fingerprint = Fingerprint::of("conformance", &number)?;
        claims.push(Claim { fingerprint, ..rival(&claim) });
    }
    let answers = claim_at_once(stage, claims).await?;
    let acquired = Claimed::Acquired { fence: Fence::FIRST, recovered: false };
    one_and_others(&answers, &acquired, |other| *other == Claimed::Mismatch)
}

async fn one_of_many_claims_of_a_released_key_acquires<H: Harness>(stage: &Stage<H>) -> Verdict {
    let before = stage.released(stage.claim("key")?).await?;
    let answers = claim_at_once(stage, (0..CROWD).map(|_| rival(&before))).await?;
    let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: false };
    one_and_others(&answers, &acquired, |other| matches!(other, Claimed::InProgress { .. }))
}

async fn one_of_many_takers_acquires<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = Claim { lease: LONG, ..stage.crashed("key", CrashPolicy::Retry).await? };
    let answers = claim_at_once(stage, (0..CROWD).map(|_| rival(&dead))).await?;
    let acquired = Claimed::Acquired { fence: Fence::new(2), recovered: true };
    one_and_others(&answers, &acquired, |other| matches!(other, Claimed::InProgress { .. }))
}

async fn many_claims_of_a_parked_key_replay_one_end<H: Harness>(stage: &Stage<H>) -> Verdict {
    let dead = stage.crashed("key", CrashPolicy::Park).await?;
    let mut ends = Vec::new();
    let mut parked = 0;
    for answer in claim_at_once(stage, (0..CROWD).map(|_| rival(&dead))).await? {
        if matches!(answer, Claimed::Parked(_)) {
            parked += 1;
            ends.push(parks(answer)?);
        } else {
            ends.push(replayed(answer)?);
        }
    }
    ensure(parked > 0, || "no claim answers `Parked`".to_owned())?;
    same("the end", &ends[0].finish, &indeterminate())?;
    ends.iter().try_for_each(|end| same("the end", end, &ends[0]))
}

async fn claim_at_once<H: Harness>(
    stage: &Stage<H>,
    claims: impl IntoIterator<Item = Claim>,
) -> Verdict<Vec<Claimed>> {
    let call = |claim: Claim| {
        async move |stage: Stage<H>| stage.storage().claim(&claim).await.map_err(Complaint::from)
    };
    stage.at_once(claims.into_iter().map(call)).await?.into_iter().collect()
}

fn one_and_others(
    answers: &[Claimed],
    one: &Claimed,
    turned_down: impl Fn(&Claimed) -> bool,
) -> Verdict {
    let winners = answers.iter().filter(|answer| *answer == one).count();
    let losers = answers.iter().filter(|answer| turned_down(answer)).count();
    same("the number of claims that acquired", &winners, &1)?;
    same("the number of rejected claims", &losers, &(answers.len() - 1))
}

async fn stale_completions_lose_to_the_live_owner<H: Harness>(stage: &Stage<H>) -> Verdict {
    let (late, live) = (result("late")?, result("live")?);
    for round in 0..RACES {
        let dead = Claim { lease: TINY, ..stage.claim(&format!("key {round}"))? };
        let dead = stage.acquire(dead).await?;
        stage.outlive(TINY).await;
        let taker = Claim { lease: LONG, ..rival(&dead) };
        stage.storage().claim(&taker).await?;
        let calls = (0..8).map(|number| {
            let is_stale = (number + round) % 2 == 0;
            let (claim, finish) = if is_stale { (&dead, &late) } else { (&taker, &live) };
            let complete = completion(claim, finish);
            async move |stage: Stage<H>| (is_stale, stage.storage().complete(&complete).await)
        });
        for (is_stale, written) in stage.at_once(calls).await? {
            let written = written?;
            let as_it_must = match &written {
                Written::Done => !is_stale,
                Written::LeaseLost(Lost::TakenOver) => is_stale,
                Written::LeaseLost(Lost::Finished(finished)) => is_stale && finished.finish == live,
                Written::LeaseLost(Lost::Gone) => false,
            };
            ensure(as_it_must, || format!("a complete (stale: {is_stale}) answers {written:?}"))?;
        }
        ends_as(stage, &taker, &live).await?;
    }
    Ok(())
}

async fn takeover_or_late_completion_wins_not_both<H: Harness>(stage: &Stage<H>) -> Verdict {
    for (round, (late, taker)) in late_owners(stage, "key", LATE).await?.into_iter().enumerate() {
        let finish = result("late")?;
        let complete = completion(&late, &finish);
        let (completed, claimed) = race(
            stage,
            round,
            async move |stage: Stage<H>| stage.storage().complete(&complete).await,
            async move |stage: Stage<H>| stage.storage().claim(&taker).await,
        )
        .await?;
        match (completed?, claimed?) {
            (Written::Done, Claimed::Replay(replay)) => {
                same("the replay", &replay.finish, &finish)?;
            }
            (Written::LeaseLost(Lost::TakenOver), Claimed::Acquired { fence, .. }) => {
                same("the taker's fence", &fence, &Fence::new(2))?;
            }
            both => return Err(Complaint::Violated(format!("together they get {both:?}"))),
        }
    }
    Ok(())
}

async fn takeover_or_late_renewal_wins_not_both<H: Harness>(stage: &Stage<H>) -> Verdict {
    let case = async move |key: String, lease: Duration| {
        for (round, (late, taker)) in late_owners(stage, &key, lease).await?.into_iter().enumerate()
        {
            let (renewed, claimed) = race(
                stage,
                round,
                async move |stage: Stage<H>| stage.renew(&late).await,
                async move |stage: Stage<H>| stage.storage().claim(&taker).await,
            )
            .await?;
            match (renewed?, claimed?) {
                (Written::Done, Claimed::InProgress { .. })
                | (Written::LeaseLost(Lost::TakenOver), Claimed::Acquired { .. }) => {}
                both => return Err(Complaint::Violated(format!("together they get {both:?}"))),
            }
        }
        Ok(())
    };
    stage.given_time(LATE, case).await
}

async fn completion_or_release_wins_not_both<H: Harness>(stage: &Stage<H>) -> Verdict {
    for round in 0..RACES {
        let claim = stage.processing(&format!("key {round}")).await?;
        let finish = result("1")?;
        let (complete, release) = (completion(&claim, &finish), releasing(&claim));
        let (completed, released) = race(
            stage,
            round,
            async move |stage: Stage<H>| stage.storage().complete(&complete).await,
            async move |stage: Stage<H>| stage.storage().release(&release).await,
        )
        .await?;
        match (completed?, released?) {
            (Written::Done, Written::LeaseLost(Lost::Finished(finished))) => {
                same("what the release finds", &finished.finish, &finish)?;
                ends_as(stage, &claim, &finish).await?;
            }
            (Written::LeaseLost(Lost::Gone), Written::Done) => {
                stage.acquire_released(rival(&claim), 2).await?;
            }
            both => return Err(Complaint::Violated(format!("together they get {both:?}"))),
        }
    }
    Ok(())
}

async fn one_of_two_results_wins<H: Harness>(stage: &Stage<H>) -> Verdict {
    for round in 0..RACES {
        let claim = stage.processing(&format!("key {round}")).await?;
        let finishes = [result("1")?, result("2")?];
        let [first, second] = finishes.each_ref().map(|finish| completion(&claim, finish));
        let (first, second) = race(
            stage,
            round,
            async move |stage: Stage<H>| stage.storage().complete(&first).await,
            async move |stage: Stage<H>| stage.storage().complete(&second).await,
        )
        .await?;
        let winner = match (first?, second?) {
            (Written::Done, Written::LeaseLost(Lost::Finished(_))) => &finishes[0],
            (Written::LeaseLost(Lost::Finished(_)), Written::Done) => &finishes[1],
            both => return Err(Complaint::Violated(format!("together they get {both:?}"))),
        };
        ends_as(stage, &claim, winner).await?;
    }
    Ok(())
}

/// Owners with expired leases, each with a rival that takes over.
async fn late_owners<H: Harness>(
    stage: &Stage<H>,
    key: &str,
    lease: Duration,
) -> Verdict<Vec<(Claim, Claim)>> {
    let mut owners = Vec::new();
    for number in 0..RACES {
        let claim = Claim { lease, ..stage.claim(&format!("{key} {number}"))? };
        let claim = stage.acquire(claim).await?;
        let taker = rival(&claim);
        owners.push((claim, taker));
    }
    stage.outlive(lease).await;
    Ok(owners)
}

/// Races two calls: in odd rounds on two threads, in even rounds interleaved on one, with
/// alternating first call.
async fn race<H: Harness, A, B, F, G>(
    stage: &Stage<H>,
    round: usize,
    one: impl FnOnce(Stage<H>) -> F,
    other: impl FnOnce(Stage<H>) -> G,
) -> Verdict<(A, B)>
where
    A: Send + 'static,
    B: Send + 'static,
    F: Future<Output = A> + Send + 'static,
    G: Future<Output = B> + Send + 'static,
{
    let (one, other) = (one(stage.clone()), other(stage.clone()));
    let panicked = |_| Complaint::Violated("a call panicked".into());
    Ok(match round % 4 {
        0 => tokio::join!(one, other),
        1 => {
            let one = tokio::spawn(one);
            let other = other.await;
            (one.await.map_err(panicked)?, other)
        }
        2 => {
            let (other, one) = tokio::join!(other, one);
            (one, other)
        }
        _ => {
            let other = tokio::spawn(other);
            let one = one.await;
            (one, other.await.map_err(panicked)?)
        }
    })
}

async fn ends_as<H: Harness>(stage: &Stage<H>, claim: &Claim, finish: &Finish) -> Verdict {
    let replay = replayed(stage.storage().claim(&rival(claim)).await?)?;
    same("the end", &replay.finish, finish)
}
