//! An in-flight call: its phase, and the marks that duplicates, lease renewal and the guard leave
//! on it.

use std::sync::Arc;
use std::time::Duration;

use super::operation_names::OPERATION_NAMES;
use crate::error::Error;
use crate::key::CallName;
use crate::record::{Fence, Finished, OwnerId};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::time::Instant;
use crate::sync::{Mutex, Notify, pin};

/// An in-flight call.
pub(crate) struct Flight {
    pub(crate) name: CallName,
    /// The handle's address: one key on two storages is two keys.
    pub(crate) handle: usize,
    pub(crate) owner: OwnerId,
    pub(crate) lease: Duration,
    /// The call whose body made this one.
    pub(crate) parent: Option<Arc<Flight>>,
    fence: AtomicU64,
    /// Whether the previous owner died.
    recovered: AtomicBool,
    /// Whether a duplicate follows this call, or has followed it.
    pub(super) followed: AtomicBool,
    pub(super) phase: Mutex<Phase>,
    /// The body has started.
    begun: AtomicBool,
    /// The outcome is being persisted.
    settling: AtomicBool,
    /// Another owner may run the body, now or soon.
    lost: AtomicBool,
    /// Its runtime stands still: duplicates no longer follow it.
    pub(super) silent: AtomicBool,
    /// A nested call was refused, because it would have waited for this call or for an outer one.
    reentered: AtomicBool,
    changed: Notify,
    /// Whether a task has ever waited for a change.
    awaited: AtomicBool,
}

#[derive(Clone)]
pub(crate) enum Phase {
    /// The storage has not answered yet.
    Claiming,
    /// Another process runs the body; its lease lasts until then.
    Elsewhere { lease_until: Instant },
    /// The body runs here, and others may take over after `lease_until` unless it is renewed.
    Running { lease_until: Instant, renew_at: Instant },
    /// Another owner has taken over; the body may still run. A duplicate has to claim for itself.
    Lost,
    /// Over, with an outcome for duplicates.
    Finished(Finished),
    /// Over, because another process runs the body. A duplicate that may wait claims for itself.
    Busy { lease_until: Instant },
    /// Over, with an error that duplicates get too.
    Refused(Error),
    /// Over, with nothing to replay. A duplicate has to claim for itself.
    Abandoned,
}

impl Flight {
    /// A call that is not in the in-flight table yet.
    pub(crate) fn new(
        name: CallName,
        handle: usize,
        lease: Duration,
        parent: Option<Arc<Flight>>,
    ) -> Arc<Flight> {
        let owner = OwnerId::random_with(OPERATION_NAMES.remember(&name.operation));
        Arc::new(Flight {
            name,
            handle,
            owner,
            lease,
            parent,
            fence: AtomicU64::new(0),
            recovered: AtomicBool::new(false),
            followed: AtomicBool::new(false),
            phase: Mutex::new(Phase::Claiming),
            begun: AtomicBool::new(false),
            settling: AtomicBool::new(false),
            lost: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            reentered: AtomicBool::new(false),
            changed: Notify::new(),
            awaited: AtomicBool::new(false),
        })
    }

    pub(super) fn hash(&self) -> u64 {
        self.name.record.name_hash()
    }

    /// Whether a call of this name is a duplicate of this one.
    pub(super) fn is(&self, name: &CallName) -> bool {
        self.name.record == name.record && self.name.fingerprint == name.fingerprint
    }

    /// Whether an outer call has the same key: this call would wait for itself. Marks that call and
    /// the calls in between as reentered.
    pub(crate) fn is_reentrant(&self) -> bool {
        let around =
            || std::iter::successors(self.parent.as_ref(), |flight| flight.parent.as_ref());
        let is_itself = |flight: &&Arc<Self>| flight.handle == self.handle && flight.is(&self.name);
        let Some(depth) = around().position(|flight| is_itself(&flight)) else { return false };
        around().take(depth + 1).for_each(|flight| flight.reentered.store(true, Ordering::Relaxed));
        true
    }

    /// Whether a nested call was [reentrant](Self::is_reentrant). An error of the body is most
    /// likely that call's.
    pub(crate) fn is_reentered(&self) -> bool {
        self.reentered.load(Ordering::Relaxed)
    }

    /// Whether the storage has made this call the owner of its key.
    pub(crate) fn is_owner(&self) -> bool {
        self.fence.load(Ordering::Relaxed) != 0
    }

    pub(crate) fn fence(&self) -> Fence {
        Fence::new(self.fence.load(Ordering::Relaxed))
    }

    /// Whether this call took over from an owner that died.
    pub(crate) fn is_recovery(&self) -> bool {
        self.recovered.load(Ordering::Relaxed)
    }

    /// Wakes the waiters, after a change. A waiter registers before it reads the phase, with
    /// sequential consistency: either this sees the waiter, or the waiter sees the change.
    fn notify(&self) {
        if self.awaited.load(Ordering::SeqCst) {
            self.changed.notify_waiters();
        }
    }

    /// Wakes the waiters if `change` has changed the phase, and returns whether it has.
    fn change(&self, change: impl FnOnce(&mut Phase) -> bool) -> bool {
        let changed = change(&mut self.phase.lock());
        if changed {
            self.notify();
        }
        changed
    }

    /// Enters a phase.
    pub(crate) fn enter_phase(&self, next: Phase) {
        self.change(|phase| {
            *phase = next;
            true
        });
    }

    /// Ends the call for its followers, unless it is over.
    pub(crate) fn end(&self, end: Phase) {
        self.change(|phase| {
            let news = !phase.is_over();
            if news {
                *phase = end;
            }
            news
        });
    }

    /// Starts the lease that the storage has granted to the request of `asked`.
    pub(crate) fn acquired(&self, fence: Fence, recovered: bool, asked: Instant) {
        self.acquired_within(fence, recovered);
        self.enter_phase(Phase::running(asked, self.lease));
    }

    /// Makes this call the owner. In a transaction it has no lease, since the record is invisible.
    pub(crate) fn acquired_within(&self, fence: Fence, recovered: bool) {
        self.recovered.store(recovered, Ordering::Relaxed);
        self.fence.store(fence.get(), Ordering::Relaxed);
    }

    /// Changes the phase of a call whose body runs under a lease.
    pub(crate) fn update_running(&self, next: impl FnOnce(Instant) -> Phase) {
        self.change(|phase| {
            let lease_until = phase.lease_until();
            if let Some(lease_until) = lease_until {
                *phase = next(lease_until);
            }
            lease_until.is_some()
        });
    }

    /// A renewal was answered with `LeaseLost`. Returns whether another owner has taken over: after
    /// the body, the renewal may have met the call's own write.
    pub(crate) fn taken_over(&self) -> bool {
        self.change(|phase| {
            let taken_over = matches!(*phase, Phase::Running { .. }) && !self.is_settling();
            if taken_over {
                *phase = Phase::Lost;
                self.lost.store(true, Ordering::SeqCst);
            }
            taken_over
        })
    }

    /// The body starts.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// The outcome is about to be persisted. From now on the answer to that write decides whether
    /// the lease was lost.
    pub(crate) fn settles(&self) {
        self.settling.store(true, Ordering::Release);
    }

    pub(crate) fn is_settling(&self) -> bool {
        self.settling.load(Ordering::Acquire)
    }

    /// Another owner may run the body: wakes the tasks that wait for the loss of the lease.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
        self.notify();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Whether a new duplicate follows this call. It does not follow a refused call, since the
    /// storage may be up again.
    pub(super) fn takes_followers(&self) -> bool {
        let has_outcome = match *self.phase.lock() {
            Phase::Claiming
            | Phase::Elsewhere { .. }
            | Phase::Running { .. }
            | Phase::Finished(_) => true,
            Phase::Lost | Phase::Busy { .. } | Phase::Refused(_) | Phase::Abandoned => false,
        };
        has_outcome && !self.silent.load(Ordering::Acquire)
    }

    /// Waits until `reached` returns a value for the phase.
    pub(crate) async fn until<T>(&self, mut reached: impl FnMut(&Phase) -> Option<T>) -> T {
        self.awaited.store(true, Ordering::SeqCst);
        loop {
            let changed = self.changed.notified();
            pin!(changed);
            // Registered before the check, so that no change between check and wait is missed.
            changed.as_mut().enable();
            if let Some(found) = reached(&self.phase.lock()) {
                return found;
            }
            changed.await;
        }
    }

    /// The limit of a phase in which the storage has to answer: the claim, and a wait for another
    /// process. Other phases have no limit.
    pub(crate) fn heard_by(&self, answered_by: Instant, patience: Duration) -> Instant {
        match *self.phase.lock() {
            Phase::Claiming => answered_by,
            // It claims again when that lease is over.
            Phase::Elsewhere { lease_until } => later(lease_until, patience),
            _ => later(answered_by, Duration::MAX),
        }
    }

    /// When others may take over, as this process knows it. `None` while the body does not run, or
    /// after the lease is lost.
    pub(crate) fn lease_end(&self) -> Option<Instant> {
        self.phase.lock().lease_until()
    }
}

impl Phase {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Busy { .. } | Self::Refused(_) | Self::Abandoned)
    }

    /// When the lease expires, while the body runs under one.
    pub(crate) fn lease_until(&self) -> Option<Instant> {
        match *self {
            Self::Running { lease_until, .. } => Some(lease_until),
            _ => None,
        }
    }

    /// The body runs under a lease that was requested at `asked`. It is renewed after a third.
    pub(crate) fn running(asked: Instant, lease: Duration) -> Self {
        Self::Running { lease_until: later(asked, lease), renew_at: later(asked, lease / 3) }
    }
}

/// `duration` after `instant`, or some decades after it instead of an overflow.
pub(crate) fn later(instant: Instant, duration: Duration) -> Instant {
    const DECADES: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    instant + duration.min(DECADES)
}

#[cfg(test)]
mod tests;
