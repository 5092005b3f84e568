//! Claiming a key, and waiting while another process has it.

use std::time::Duration;

use super::flight::{Phase, later};
use super::guard::Guard;
use super::settle::pauses;
use super::shared::Inner;
use crate::storage::{
    Claim, Claimed, Renew, Storage, StorageError, StorageErrorKind, Wakeup, Written,
};
use crate::sync::select;
use crate::sync::time::{Instant, sleep, sleep_until, timeout_at};

/// Claims, and waits until `deadline` while another process runs the body. `InProgress` means that the wait is over.
pub(crate) async fn claim(
    guard: &mut Guard<'_>,
    claim: &Claim,
    deadline: Option<Instant>,
) -> Result<Claimed, StorageError> {
    let first_asked = Instant::now();
    match ask(guard, claim, first_asked).await? {
        Claimed::InProgress { .. } if let Some(deadline) = deadline => {
            // On the heap, for the sake of those that need not wait.
            Box::pin(wait(guard, claim, first_asked, deadline)).await
        }
        answer => Ok(answer),
    }
}

/// One decision of the storage, within the handle's claim timeout. After a lost reply the claim is
/// repeated with the same owner, which is safe.
///
/// The first request may arrive last, and acquire the key long after a repeated one was answered
/// otherwise. So the lease may have begun at any time since the first request.
async fn ask(
    guard: &mut Guard<'_>,
    claim: &Claim,
    first_asked: Instant,
) -> Result<Claimed, StorageError> {
    guard.claiming();
    let limit = guard.inner.claim_timeout;
    let until = later(Instant::now(), limit);
    let mut pauses = None;
    let mut perhaps_applied = false;
    let mut trouble = None;
    loop {
        let Ok(answer) = timeout_at(until, ask_once(guard, claim, first_asked)).await else {
            return Err(unanswered(limit, StorageErrorKind::Indeterminate, trouble));
        };
        match answer {
            Ok(answer @ Claimed::Acquired { .. }) => {
                guard.inner.parked.resolved(&claim.key);
                return Ok(answer);
            }
            Ok(answer) => {
                guard.refused();
                let answer = match answer {
                    // Perhaps by the attempt whose reply was lost. That somebody parked it must be told at least once.
                    Claimed::Replay(finished) if perhaps_applied && finished.finish.is_parked() => {
                        Claimed::Parked(finished)
                    }
                    answer => answer,
                };
                if let Claimed::InProgress { lease_left } = answer {
                    let lease_until = later(Instant::now(), lease_left);
                    guard.flight.enter_phase(Phase::Elsewhere { lease_until });
                }
                return Ok(answer);
            }
            Err(error) => {
                perhaps_applied |= error.kind() == StorageErrorKind::Indeterminate;
                let pause = pauses.get_or_insert_with(self::pauses).next();
                let Some(pause) = pause.filter(|_| error.is_transient()) else {
                    if !perhaps_applied {
                        guard.refused();
                    }
                    return Err(error);
                };
                if later(Instant::now(), pause) >= until {
                    let kind = if perhaps_applied {
                        StorageErrorKind::Indeterminate
                    } else {
                        error.kind()
                    };
                    if !perhaps_applied {
                        guard.refused();
                    }
                    return Err(unanswered(limit, kind, Some(error)));
                }
                trouble = Some(error);
                sleep(pause).await;
            }
        }
    }
}

/// The storage gave no answer that is one within the claim timeout; `trouble` is what it said last.
pub(super) fn unanswered(
    limit: Duration,
    kind: StorageErrorKind,
    trouble: Option<StorageError>,
) -> StorageError {
    let text = format!("the storage did not answer within {limit:?}, the body did not run");
    let error = StorageError::new(kind, text);
    match trouble {
        Some(trouble) => error.with_source(trouble),
        None => error,
    }
}

/// A body must not begin with a lease that is over or about to be: where the answer took long, the lease starts again first, and the answer
/// to that must not take long either.
async fn ask_once(
    guard: &Guard<'_>,
    claim: &Claim,
    first_asked: Instant,
) -> Result<Claimed, StorageError> {
    let Inner { storage, .. } = &**guard.inner;
    let answer = storage.claim(claim).await?;
    let Claimed::Acquired { fence, recovered } = answer else { return Ok(answer) };
    // Storages count in whole milliseconds.
    let lease = claim.lease.max(Duration::from_millis(1));
    if first_asked.elapsed() < lease / 3 {
        guard.flight.acquired(fence, recovered, first_asked);
        return Ok(answer);
    }
    let asked = Instant::now();
    let renewal = Renew { key: claim.key.clone(), owner: claim.owner };
    // Whatever the trouble, the key may be this call's; the next attempt tells.
    let trouble = |text| StorageError::new(StorageErrorKind::Indeterminate, text);
    match storage.renew(&[renewal]).await.pop() {
        Some(Ok(Written::Done)) if asked.elapsed() < lease / 3 * 2 => {
            guard.flight.acquired(fence, recovered, asked);
            Ok(answer)
        }
        Some(Ok(Written::Done)) => {
            Err(trouble("the storage takes too long for this short a lease"))
        }
        Some(Ok(Written::LeaseLost(_))) => Err(trouble("the lease was lost before the body began")),
        Some(Err(error)) => Err(trouble("the lease could not be renewed").with_source(error)),
        None => Err(trouble("the lease could not be renewed")),
    }
}

/// Waits for the runner elsewhere: woken by the storage, with polling as the net.
async fn wait(
    guard: &mut Guard<'_>,
    claim: &Claim,
    first_asked: Instant,
    deadline: Instant,
) -> Result<Claimed, StorageError> {
    // Without a subscription the waiter polls; a storage in trouble shows in the next claim.
    let subscribing = guard.inner.storage.watch(&claim.key);
    let patience = PATIENCE.min(guard.inner.claim_timeout);
    let subscribed = timeout_at(deadline.min(later(Instant::now(), patience)), subscribing).await;
    let mut wakeup = subscribed.ok().and_then(Result::ok).flatten();
    // The runner may have ended before the subscription began, so the first look is at once.
    let mut polls = polls(if wakeup.is_some() { Waking::Wakeups } else { Waking::Polls });
    loop {
        let lease_left = match ask(guard, claim, first_asked).await? {
            Claimed::InProgress { lease_left } => lease_left,
            answer => return Ok(answer),
        };
        let now = Instant::now();
        if now >= deadline {
            return Ok(Claimed::InProgress { lease_left });
        }
        // A takeover is possible the moment the lease is over, so that is when to look again at the latest.
        let pause = polls.next().unwrap_or_default().min(lease_left.saturating_add(LEASE_MARGIN));
        let until = later(now, pause).min(deadline);
        select! {
            biased;
            () = changed(&mut wakeup) => {}
            () = sleep_until(until) => {}
        }
    }
}

/// How long a subscription may take. Meanwhile nobody looks at the key.
const PATIENCE: Duration = Duration::from_millis(500);

/// The storage counts the lease in whole milliseconds.
const LEASE_MARGIN: Duration = Duration::from_millis(1);

async fn changed(wakeup: &mut Option<Wakeup>) {
    match wakeup {
        Some(wakeup) => wakeup.changed().await,
        None => std::future::pending().await,
    }
}

/// What ends a waiter's pauses.
#[derive(Clone, Copy)]
pub(super) enum Waking {
    /// Time alone.
    Polls,
    /// Wake-ups, with polls as the net.
    Wakeups,
}

/// Pauses between polls: doubling, jittered so that waiters spread out, longer beside wake-ups.
pub(super) fn polls(waking: Waking) -> impl Iterator<Item = Duration> {
    let (first, most) = match waking {
        Waking::Polls => (10, 500),
        Waking::Wakeups => (50, 1_000),
    };
    let mut pause: u64 = first;
    std::iter::from_fn(move || {
        let jittered = fastrand::u64(pause / 2..=pause);
        pause = (pause * 2).min(most);
        Some(Duration::from_millis(jittered))
    })
}

#[cfg(test)]
mod tests;
