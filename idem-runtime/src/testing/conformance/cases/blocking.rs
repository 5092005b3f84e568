//! Verbs that block their thread.

use std::future::poll_fn;
use std::pin::pin;
use std::time::{Duration, Instant};

use super::super::check::{Verdict, ensure};
use super::super::harness::Harness;
use super::super::stage::{Stage, completion, releasing, renewal, result};
use super::cases;

const BLOCKS: &str = "No verb blocks the thread that polls it: it waits for a disk or a lock on \
    another thread, as with `tokio::task::spawn_blocking`.";

cases! { "blocking";
    BLOCKS => [verbs_leave_their_thread_to_others],
}

/// A busy machine may preempt some rounds, but not all of them.
const ROUNDS: usize = 12;
/// Far more than a verb's computing time, and less than a flush to disk or a network round trip
/// with its wait.
const LONGEST: Duration = Duration::from_millis(5);

async fn verbs_leave_their_thread_to_others<H: Harness>(stage: &Stage<H>) -> Verdict {
    let mut shortest = [Duration::MAX; 5];
    let verbs = ["claim", "renew", "complete", "load", "release"];
    for round in 0..ROUNDS {
        let claim = stage.claim(&format!("key {round}"))?;
        let other = stage.processing(&format!("other {round}")).await?;
        let (complete, release) = (completion(&claim, &result("1")?), releasing(&other));
        let renewals = [renewal(&claim)];
        let held = [
            longest_poll(stage.storage().claim(&claim)).await,
            longest_poll(stage.storage().renew(&renewals)).await,
            longest_poll(stage.storage().complete(&complete)).await,
            longest_poll(stage.storage().load(&claim.key)).await,
            longest_poll(stage.storage().release(&release)).await,
        ];
        for (shortest, held) in shortest.iter_mut().zip(held) {
            *shortest = held.min(*shortest);
        }
    }
    for (verb, held) in verbs.iter().zip(shortest) {
        ensure(held < LONGEST, || {
            format!(
                "{verb} holds the thread that polls it for {held:?} or longer, each of {ROUNDS} times"
            )
        })?;
    }
    Ok(())
}

/// Duration of the longest poll of a future.
async fn longest_poll<F: Future>(future: F) -> Duration {
    let mut future = pin!(future);
    let mut longest = Duration::ZERO;
    poll_fn(|context| {
        let begun = Instant::now();
        let polled = future.as_mut().poll(context);
        longest = longest.max(begun.elapsed());
        polled.map(drop)
    })
    .await;
    longest
}
