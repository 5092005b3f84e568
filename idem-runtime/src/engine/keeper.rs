//! The keeper: one task per handle that renews the leases of all calls under way, in batches.
//!
//! It is a task of its own so that a body which blocks its own task does not lose its lease (on a runtime with more than one worker
//! thread). A short call never touches it: the keeper looks at the list of calls every third of the shortest lease, so that a new call
//! need not wake it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout};

use super::flight::{Flight, Phase};
use super::handle::Inner;
use crate::record::millis;
use crate::storage::{Renew, Storage, Written};

#[derive(Default)]
pub(crate) struct Keeper {
    running: AtomicBool,
    /// In milliseconds; 0 while no lease was seen.
    shortest_lease: AtomicU64,
    wake: Arc<Notify>,
}

impl Keeper {
    /// Sees to it that a lease of this length will be renewed in time. True when the keeper had to be woken for it: the caller should
    /// then yield once, so that a body that blocks its thread does not keep the keeper from starting.
    pub(crate) fn watch_over(&self, inner: &Arc<Inner>, lease: Duration) -> bool {
        let lease = millis(lease).max(1);
        let seen = self.shortest_lease.load(Ordering::Acquire);
        let shorter = seen == 0 || lease < seen;
        if shorter {
            let keep = |seen| (seen == 0 || lease < seen).then_some(lease);
            let _ = self.shortest_lease.fetch_update(Ordering::AcqRel, Ordering::Acquire, keep);
        }
        if !self.running.load(Ordering::Acquire) && !self.running.swap(true, Ordering::AcqRel) {
            tokio::spawn(run(Arc::downgrade(inner), Arc::clone(&self.wake), Running::of(inner)));
            return true;
        }
        if shorter {
            self.wake.notify_one();
        }
        shorter
    }

    fn tick(&self) -> Duration {
        let lease = self.shortest_lease.load(Ordering::Acquire);
        Duration::from_millis((lease / 3).clamp(1, 3_600_000))
    }
}

/// Marks the keeper as not running when its task ends, be it with the runtime it was started on: the next call starts it again.
struct Running(Weak<Inner>);

impl Running {
    fn of(inner: &Arc<Inner>) -> Self {
        Self(Arc::downgrade(inner))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(inner) = self.0.upgrade() {
            inner.keeper.running.store(false, Ordering::Release);
        }
    }
}

async fn run(handle: Weak<Inner>, wake: Arc<Notify>, _running: Running) {
    let mut next: Option<Instant> = None;
    while let Some(tick) = handle.upgrade().map(|inner| Instant::now() + inner.keeper.tick()) {
        tokio::select! {
            () = sleep_until(next.map_or(tick, |next| next.min(tick))) => {}
            () = wake.notified() => {}
        }
        let Some(inner) = handle.upgrade() else { return };
        let (due, later) = inner.flights.due(Instant::now());
        next = later;
        if !due.is_empty() {
            renew(&inner, &due).await;
            next = None;
        }
    }
}

/// Renews a batch. What the storage does not answer is asked again soon: until somebody takes over, a late renewal is as good.
async fn renew(inner: &Inner, due: &[Arc<Flight>]) {
    let renewals: Vec<Renew> = due
        .iter()
        .map(|flight| Renew { key: flight.name.record.clone(), owner: flight.owner })
        .collect();
    let asked = Instant::now();
    let answers = timeout(inner.keeper.tick(), inner.storage.renew(&renewals)).await;
    let mut answers = answers.unwrap_or_default().into_iter();
    for flight in due {
        let operation = &flight.name.operation;
        match answers.next() {
            Some(Ok(Written::Done)) => {
                flight.update_running(|_| Phase::running(asked, flight.lease));
            }
            Some(Ok(Written::LeaseLost(_))) => {
                tracing::warn!(%operation, "a lease was lost while its body ran");
                inner.flights.leave(flight, Phase::Lost);
            }
            Some(Err(error)) => {
                tracing::warn!(%operation, %error, "a lease could not be renewed");
                ask_again(flight);
            }
            None => {
                tracing::warn!(%operation, "a lease was not renewed in time");
                ask_again(flight);
            }
        }
    }
}

fn ask_again(flight: &Flight) {
    let renew_at = Instant::now() + flight.lease / 12;
    flight.update_running(|lease_until| Phase::Running { lease_until, renew_at });
}
