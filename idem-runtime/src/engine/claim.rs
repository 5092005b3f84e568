//! Claiming a key, and waiting while another process has it.

use std::time::Duration;

use super::flight::{Phase, later};
use super::guard::Guard;
use super::settle::pauses;
use super::shared::SharedHandle;
use crate::storage::{
    Claim, Claimed, Renew, Storage, StorageError, StorageErrorKind, Wakeup, Written,
};
use crate::sync::select;
use crate::sync::time::{Instant, sleep, sleep_until, timeout_at};

/// Claims, and waits until `deadline` while another process runs the body. `InProgress` means that
/// the wait is over.
pub(crate) async fn claim(
    guard: &mut Guard<'_>,
    claim: &Claim,
    deadline: Option<Instant>,
) -> Result<Claimed, StorageError> {
    let first_asked = Instant::now();
    match ask(guard, claim, first_asked).await? {
        Claimed::InProgress { .. } if let Some(deadline) = deadline => {
            // On the heap, so that a call that does not wait stays small.
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
    let mut last_error = None;
    loop {
        let Ok(answer) = timeout_at(until, ask_once(guard, claim, first_asked)).await else {
            return Err(unanswered(limit, StorageErrorKind::Indeterminate, last_error));
        };
        match answer {
            Ok(answer @ Claimed::Acquired { .. }) => {
                guard.inner.parked.resolved(&claim.key);
                return Ok(answer);
            }
            Ok(answer) => {
                guard.refused();
                match &answer {
                    // The attempt whose reply was lost may have parked the record, and a parked
                    // record must be reported at least once.
                    Claimed::Replay(finished) if perhaps_applied && finished.finish.is_parked() => {
                        guard.report_parked();
                    }
                    Claimed::Parked(_) => guard.report_parked(),
                    Claimed::InProgress { lease_left } => {
                        let lease_until = later(Instant::now(), *lease_left);
                        guard.flight.enter_phase(Phase::Elsewhere { lease_until });
                    }
                    _ => {}
                }
                return Ok(answer);
            }
            Err(error) => {
                perhaps_applied |= error.kind() == StorageErrorKind::Indeterminate;
                let pause = pauses.get_or_insert_with(self::pauses).next();
                let pause = pause.filter(|_| error.is_transient());
                if let Some(pause) = pause
                    && later(Instant::now(), pause) < until
                {
                    last_error = Some(error);
                    sleep(pause).await;
                    continue;
                }
                let kind = if perhaps_applied {
                    StorageErrorKind::Indeterminate
                } else {
                    guard.refused();
                    error.kind()
                };
                return Err(match pause {
                    Some(_) => unanswered(limit, kind, Some(error)),
                    None => error,
                });
            }
        }
    }
}

/// The error of a claim that was not answered within the claim timeout.
pub(super) fn unanswered(
    limit: Duration,
    kind: StorageErrorKind,
    last_error: Option<StorageError>,
) -> StorageError {
    let text = format!("the storage did not answer within {limit:?}, the body did not run");
    let error = StorageError::new(kind, text);
    match last_error {
        Some(last_error) => error.with_source(last_error),
        None => error,
    }
}

/// Claims once. A body must not start with a lease that is about to expire: if the answer took
/// long, the lease is renewed first, and the answer to that must not take long either.
async fn ask_once(
    guard: &Guard<'_>,
    claim: &Claim,
    first_asked: Instant,
) -> Result<Claimed, StorageError> {
    let SharedHandle { storage, .. } = &**guard.inner;
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
    // The key may be this call's in each case; the next attempt finds out.
    let uncertain = |text| StorageError::new(StorageErrorKind::Indeterminate, text);
    match storage.renew(&[renewal]).await.pop() {
        Some(Ok(Written::Done)) if asked.elapsed() < lease / 3 * 2 => {
            guard.flight.acquired(fence, recovered, asked);
            Ok(answer)
        }
        Some(Ok(Written::Done)) => {
            Err(uncertain("the storage takes too long for this short a lease"))
        }
        Some(Ok(Written::LeaseLost(_))) => {
            Err(uncertain("the lease was lost before the body began"))
        }
        Some(Err(error)) => Err(uncertain("the lease could not be renewed").with_source(error)),
        None => Err(uncertain("the lease could not be renewed")),
    }
}

/// Waits for the owner in another process: woken by the storage, with polls as the fallback.
async fn wait(
    guard: &mut Guard<'_>,
    claim: &Claim,
    first_asked: Instant,
    deadline: Instant,
) -> Result<Claimed, StorageError> {
    // Without a subscription the waiter polls. A storage that is down fails the next claim.
    let subscribing = guard.inner.storage.watch(&claim.key);
    let patience = PATIENCE.min(guard.inner.claim_timeout);
    let subscribed = timeout_at(deadline.min(later(Instant::now(), patience)), subscribing).await;
    let mut wakeup = subscribed.ok().and_then(Result::ok).flatten();
    // The owner may have ended before the subscription began, so the first poll is at once.
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
        // A takeover is possible as soon as the lease is over: the next poll is then at the latest.
        let pause = polls.next().unwrap_or_default().min(lease_left.saturating_add(LEASE_MARGIN));
        let until = later(now, pause).min(deadline);
        select! {
            biased;
            () = changed(&mut wakeup) => {}
            () = sleep_until(until) => {}
        }
    }
}

/// How long a subscription may take. Meanwhile the waiter does not poll.
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
    /// Wake-ups, with polls as the fallback.
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
