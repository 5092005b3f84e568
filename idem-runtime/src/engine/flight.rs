//! The in-flight table: the calls of this process that have begun and not ended, by key and
//! fingerprint.
//!
//! A duplicate in this process follows the call in the table and does not ask the storage. Lease
//! renewal walks the table. Calls with the same key and another fingerprint do not meet here: the
//! storage tells them apart.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use super::names;
use crate::error::Error;
use crate::key::CallName;
use crate::record::{Fence, Finished, OwnerId};
use crate::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use crate::sync::time::Instant;
use crate::sync::{Mutex, Notify, pin, shards};

const SHARDS: usize = shards(16);

/// One call under way.
pub(crate) struct Flight {
    pub(crate) name: CallName,
    /// The handle's address: one key on two storages is two keys.
    pub(crate) handle: usize,
    pub(crate) owner: OwnerId,
    pub(crate) lease: Duration,
    /// The call inside whose body this one was made.
    pub(crate) parent: Option<Arc<Flight>>,
    fence: AtomicU64,
    /// Whether the owner before died.
    recovered: AtomicBool,
    /// Whether a duplicate has attached to this call.
    followed: AtomicBool,
    phase: Mutex<Phase>,
    /// The body runs, or has run.
    begun: AtomicBool,
    /// The body has ended and its end is being written.
    settling: AtomicBool,
    /// Others may run the body, now or soon.
    lost: AtomicBool,
    /// It was not heard of for too long: nobody follows it any more.
    silent: AtomicBool,
    /// A call inside its body was refused, because it would have waited for this one or for one around it.
    reentered: AtomicBool,
    changed: Notify,
    /// Whether anybody has ever waited for a change.
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
    /// It has ended with what duplicates get.
    Finished(Finished),
    /// It has ended because another process runs the body: a duplicate that may wait goes on waiting by itself.
    Busy { lease_until: Instant },
    /// It has ended with an error that its duplicates would get as well.
    Refused(Error),
    /// It has ended with nothing to replay: a duplicate has to claim for itself.
    Abandoned,
}

/// All calls under way of one handle.
pub(crate) struct Flights {
    shards: [Mutex<HashTable<Arc<Flight>>>; SHARDS],
    /// How many bodies run that are not on the list: in transactions, and those that failed open.
    unlisted: AtomicUsize,
    left: Notify,
    /// Whether anybody has ever waited until no call is under way.
    drained: AtomicBool,
}

impl Flights {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            unlisted: AtomicUsize::new(0),
            left: Notify::new(),
            drained: AtomicBool::new(false),
        }
    }

    /// A call that is not on the list yet.
    pub(crate) fn candidate(
        name: CallName,
        handle: usize,
        lease: Duration,
        parent: Option<Arc<Flight>>,
    ) -> Arc<Flight> {
        let owner = OwnerId::random_with(names::remember(&name.operation));
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

    /// Puts `candidate` on the list, unless a call that it is a duplicate of is there and can tell it something: then gives that one.
    pub(crate) fn enter(&self, candidate: &Arc<Flight>) -> Option<Arc<Flight>> {
        let hash = candidate.hash();
        let mut shard = self.shard(hash).lock();
        let duplicate =
            |flight: &Arc<Flight>| flight.is(&candidate.name) && flight.takes_followers();
        if let Some(there) = shard.find(hash, duplicate) {
            there.followed.store(true, Ordering::Release);
            return Some(Arc::clone(there));
        }
        shard.insert_unique(hash, Arc::clone(candidate), |flight| flight.hash());
        None
    }

    /// Puts `candidate` on the list although a call is there that it is a duplicate of, and which nobody follows any more.
    pub(crate) fn enter_beside(&self, candidate: &Arc<Flight>, there: &Flight) {
        there.silent.store(true, Ordering::Release);
        let hash = candidate.hash();
        let mut shard = self.shard(hash).lock();
        shard.insert_unique(hash, Arc::clone(candidate), |flight| flight.hash());
    }

    /// Takes a call off the list and tells its followers how it ended, unless there are none or they know already.
    pub(crate) fn leave(&self, flight: &Arc<Flight>, end: impl FnOnce() -> Phase) {
        let hash = flight.hash();
        let mut shard = self.shard(hash).lock();
        if let Ok(entry) = shard.find_entry(hash, |other| Arc::ptr_eq(other, flight)) {
            entry.remove();
        }
        drop(shard);
        // Nobody can begin to follow it any more.
        let followed = flight.followed.load(Ordering::Acquire);
        flight.end(if followed { end() } else { Phase::Abandoned });
        self.notify();
    }

    /// A body begins that is not on the list.
    pub(crate) fn enter_unlisted(&self) {
        self.unlisted.fetch_add(1, Ordering::SeqCst);
    }

    /// It has ended.
    pub(crate) fn leave_unlisted(&self) {
        self.unlisted.fetch_sub(1, Ordering::SeqCst);
        self.notify();
    }

    /// Wakes those that wait until no call is under way. They say that they wait before they count.
    fn notify(&self) {
        if self.drained.load(Ordering::SeqCst) {
            self.left.notify_waiters();
        }
    }

    /// Waits until no call is under way.
    pub(crate) async fn drain(&self) {
        self.drained.store(true, Ordering::SeqCst);
        loop {
            let left = self.left.notified();
            pin!(left);
            // Registered before the count, so that no call that leaves between the count and the wait is missed.
            left.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            left.await;
        }
    }

    /// The running calls whose leases are to be renewed at `now`. The caller takes that on: they are not due again until its request for
    /// them must have been answered.
    pub(crate) fn take_due(&self, now: Instant) -> Vec<Arc<Flight>> {
        let mut due = Vec::new();
        self.each_running(|flight, renew_at| {
            if *renew_at <= now {
                *renew_at = later(now, flight.lease / 3 + flight.lease / 12);
                due.push(Arc::clone(flight));
            }
        });
        due
    }

    /// When the next lease is to be renewed.
    pub(crate) fn next_renewal(&self) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        self.each_running(|_, renew_at| {
            next = Some(next.map_or(*renew_at, |next| next.min(*renew_at)));
        });
        next
    }

    /// The shortest lease among all calls under way.
    pub(crate) fn shortest_lease(&self) -> Option<Duration> {
        let of_shard = |shard: &Mutex<HashTable<Arc<Flight>>>| {
            shard.lock().iter().map(|flight| flight.lease).min()
        };
        self.shards.iter().filter_map(of_shard).min()
    }

    fn each_running(&self, mut visit: impl FnMut(&Arc<Flight>, &mut Instant)) {
        for shard in &self.shards {
            for flight in shard.lock().iter() {
                if let Phase::Running { renew_at, .. } = &mut *flight.phase.lock() {
                    visit(flight, renew_at);
                }
            }
        }
    }

    /// How many calls are under way.
    pub(crate) fn len(&self) -> usize {
        let listed: usize = self.shards.iter().map(|shard| shard.lock().len()).sum();
        listed + self.unlisted.load(Ordering::SeqCst)
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<Arc<Flight>>> {
        // The table inside uses the low and the topmost bits.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}

impl Flight {
    fn hash(&self) -> u64 {
        self.name.record.name_hash()
    }

    /// Whether a call of this name is a duplicate of this one.
    fn is(&self, name: &CallName) -> bool {
        self.name.record == name.record && self.name.fingerprint == name.fingerprint
    }

    /// Whether this call is made inside the body of a call that it is a duplicate of: it would wait for itself. That call and those in between
    /// know it from then on.
    pub(crate) fn is_reentrant(&self) -> bool {
        let around =
            || std::iter::successors(self.parent.as_ref(), |flight| flight.parent.as_ref());
        let is_itself = |flight: &&Arc<Self>| flight.handle == self.handle && flight.is(&self.name);
        let Some(depth) = around().position(|flight| is_itself(&flight)) else { return false };
        around().take(depth + 1).for_each(|flight| flight.reentered.store(true, Ordering::Relaxed));
        true
    }

    /// Whether a call inside its body was [reentrant](Self::is_reentrant), so that an error of the body is most likely that one's.
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

    /// Enters a phase and wakes whoever waits for one.
    pub(crate) fn enter_phase(&self, phase: Phase) {
        *self.phase.lock() = phase;
        self.notify();
    }

    /// Tells the followers how the call ended, unless they know already; true when they did not.
    pub(crate) fn end(&self, end: Phase) -> bool {
        let mut phase = self.phase.lock();
        let news = !phase.is_over();
        if news {
            *phase = end;
            drop(phase);
            self.notify();
        }
        news
    }

    /// The storage made this call the owner; it was asked at `asked`, from which the lease is counted.
    pub(crate) fn acquired(&self, fence: Fence, recovered: bool, asked: Instant) {
        self.recovered.store(recovered, Ordering::Relaxed);
        self.fence.store(fence.get(), Ordering::Relaxed);
        self.enter_phase(Phase::running(asked, self.lease));
    }

    /// The call became part of a transaction: no lease is running, since nobody else sees its record.
    #[cfg(feature = "_sql")]
    pub(crate) fn acquired_within(&self, fence: Fence, recovered: bool) {
        self.recovered.store(recovered, Ordering::Relaxed);
        self.fence.store(fence.get(), Ordering::Relaxed);
    }

    /// Changes the phase of a running call; one that has ended meanwhile stays as it is.
    pub(crate) fn update_running(&self, change: impl FnOnce(Instant) -> Phase) {
        let mut phase = self.phase.lock();
        if let Phase::Running { lease_until, .. } = *phase {
            *phase = change(lease_until);
            drop(phase);
            self.notify();
        }
    }

    /// The storage answered a renewal that another owner has taken over. False where that means nothing: the call has ended, or is about
    /// to, and the renewal may have met its own end.
    pub(crate) fn taken_over(&self) -> bool {
        let mut phase = self.phase.lock();
        let taken_over =
            matches!(*phase, Phase::Running { .. }) && !self.settling.load(Ordering::Acquire);
        if taken_over {
            *phase = Phase::Lost;
            drop(phase);
            self.lose();
        }
        taken_over
    }

    /// The body is to be polled next.
    pub(crate) fn begin(&self) {
        self.begun.store(true, Ordering::Release);
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Acquire)
    }

    /// The end is about to be written: from now on the storage's answer to that says what became of the lease.
    pub(crate) fn settles(&self) {
        self.settling.store(true, Ordering::Release);
    }

    pub(crate) fn is_settling(&self) -> bool {
        self.settling.load(Ordering::Acquire)
    }

    /// Tells whoever works for this call that others may run the body.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::SeqCst);
        self.notify();
    }

    pub(crate) fn is_lost(&self) -> bool {
        self.lost.load(Ordering::SeqCst)
    }

    /// Whether a new duplicate attaches to this call: it has, or will have, something to tell. One that was refused a moment ago has
    /// not: the storage may answer again.
    fn takes_followers(&self) -> bool {
        if self.silent.load(Ordering::Acquire) {
            return false;
        }
        match *self.phase.lock() {
            Phase::Claiming
            | Phase::Elsewhere { .. }
            | Phase::Running { .. }
            | Phase::Finished(_) => true,
            Phase::Lost | Phase::Busy { .. } | Phase::Refused(_) | Phase::Abandoned => false,
        }
    }

    /// Waits until `reached` finds what it wants in the phase.
    pub(crate) async fn until<T>(&self, mut reached: impl FnMut(&Phase) -> Option<T>) -> T {
        self.awaited.store(true, Ordering::SeqCst);
        loop {
            let changed = self.changed.notified();
            pin!(changed);
            // Registered before the look, so that no change between the look and the wait is missed.
            changed.as_mut().enable();
            if let Some(found) = reached(&self.phase.lock()) {
                return found;
            }
            changed.await;
        }
    }

    /// By when something new is heard of a call that waits for the storage's answer, or for a call elsewhere; never of one whose body runs.
    pub(crate) fn heard_by(&self, answered_by: Instant, patience: Duration) -> Instant {
        match *self.phase.lock() {
            Phase::Claiming => answered_by,
            // It looks again when that lease is over.
            Phase::Elsewhere { lease_until } => later(lease_until, patience),
            _ => later(answered_by, Duration::MAX),
        }
    }

    /// When others may take over: the lease's end as this process knows it; `None` while the body does not run, or after the lease is lost.
    pub(crate) fn lease_end(&self) -> Option<Instant> {
        self.phase.lock().lease_until()
    }
}

impl Phase {
    pub(crate) fn is_over(&self) -> bool {
        matches!(self, Self::Finished(_) | Self::Busy { .. } | Self::Refused(_) | Self::Abandoned)
    }

    /// The lease's end, while the body runs under one.
    pub(crate) fn lease_until(&self) -> Option<Instant> {
        match *self {
            Self::Running { lease_until, .. } => Some(lease_until),
            _ => None,
        }
    }

    /// Running under a lease that the storage was asked for at `asked`. It is renewed when a third is over.
    pub(crate) fn running(asked: Instant, lease: Duration) -> Self {
        Self::Running { lease_until: later(asked, lease), renew_at: later(asked, lease / 3) }
    }
}

/// `duration` after `instant`; some decades instead of an overflow.
pub(crate) fn later(instant: Instant, duration: Duration) -> Instant {
    const DECADES: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);
    instant + duration.min(DECADES)
}

#[cfg(test)]
mod tests;
