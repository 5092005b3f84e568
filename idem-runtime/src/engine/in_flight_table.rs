//! The in-flight table: the calls of this process that have begun and not ended, by key and
//! fingerprint.
//!
//! A duplicate in this process follows the call in the table and does not ask the storage. Lease
//! renewal walks the table. Calls with the same key and another fingerprint do not meet here: the
//! storage tells them apart.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashTable;

use super::flight::{Flight, Phase, later};
use crate::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use crate::sync::time::Instant;
use crate::sync::{Mutex, Notify, pin, shards};

const SHARDS: usize = shards(16);

/// The in-flight calls of one handle.
pub(crate) struct InFlightTable {
    shards: [Mutex<HashTable<Arc<Flight>>>; SHARDS],
    /// The number of running bodies that are not in the table: in transactions, and failed open.
    unlisted: AtomicUsize,
    left: Notify,
    /// Whether a task has ever drained the table.
    drained: AtomicBool,
}

impl InFlightTable {
    pub(crate) fn new() -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            unlisted: AtomicUsize::new(0),
            left: Notify::new(),
            drained: AtomicBool::new(false),
        }
    }

    /// Enters `candidate`, or returns the in-flight call that it has to follow.
    pub(crate) fn enter(&self, candidate: &Arc<Flight>) -> Option<Arc<Flight>> {
        let hash = candidate.hash();
        let mut shard = self.shard(hash).lock();
        let duplicate =
            |flight: &Arc<Flight>| flight.is(&candidate.name) && flight.takes_followers();
        if let Some(in_flight) = shard.find(hash, duplicate) {
            in_flight.followed.store(true, Ordering::Release);
            return Some(Arc::clone(in_flight));
        }
        shard.insert_unique(hash, Arc::clone(candidate), |flight| flight.hash());
        None
    }

    /// Enters `candidate` beside the in-flight call of its key, which is no longer followed.
    pub(crate) fn enter_beside(&self, candidate: &Arc<Flight>, in_flight: &Flight) {
        in_flight.silent.store(true, Ordering::Release);
        let hash = candidate.hash();
        let mut shard = self.shard(hash).lock();
        shard.insert_unique(hash, Arc::clone(candidate), |flight| flight.hash());
    }

    /// Removes a call, and ends it for its followers if it has any.
    pub(crate) fn leave(&self, flight: &Arc<Flight>, end: impl FnOnce() -> Phase) {
        let hash = flight.hash();
        let mut shard = self.shard(hash).lock();
        if let Ok(entry) = shard.find_entry(hash, |other| Arc::ptr_eq(other, flight)) {
            entry.remove();
        }
        drop(shard);
        // No new duplicate can find it any more.
        let followed = flight.followed.load(Ordering::Acquire);
        flight.end(if followed { end() } else { Phase::Abandoned });
        self.notify();
    }

    /// A body starts that is not in the table.
    pub(crate) fn enter_unlisted(&self) {
        self.unlisted.fetch_add(1, Ordering::SeqCst);
    }

    /// Such a body has ended.
    pub(crate) fn leave_unlisted(&self) {
        self.unlisted.fetch_sub(1, Ordering::SeqCst);
        self.notify();
    }

    /// Wakes the tasks that drain the table. They set `drained` before they count.
    fn notify(&self) {
        if self.drained.load(Ordering::SeqCst) {
            self.left.notify_waiters();
        }
    }

    /// Waits until no call is in flight.
    pub(crate) async fn drain(&self) {
        self.drained.store(true, Ordering::SeqCst);
        loop {
            let left = self.left.notified();
            pin!(left);
            // Registered before the count, so that no call that ends between count and wait is
            // missed.
            left.as_mut().enable();
            if self.len() == 0 {
                return;
            }
            left.await;
        }
    }

    /// The calls whose leases are due for renewal at `now`. They are due again after the time limit
    /// of the caller's request.
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

    /// When the next lease is due.
    pub(crate) fn next_renewal(&self) -> Option<Instant> {
        let mut next: Option<Instant> = None;
        self.each_running(|_, renew_at| {
            next = Some(next.map_or(*renew_at, |next| next.min(*renew_at)));
        });
        next
    }

    /// The shortest lease of all in-flight calls.
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

    /// The number of in-flight calls.
    pub(crate) fn len(&self) -> usize {
        let in_table: usize = self.shards.iter().map(|shard| shard.lock().len()).sum();
        in_table + self.unlisted.load(Ordering::SeqCst)
    }

    fn shard(&self, hash: u64) -> &Mutex<HashTable<Arc<Flight>>> {
        // The table inside uses the low and the topmost bits.
        &self.shards[(hash >> 32) as usize % SHARDS]
    }
}
