//! The events in flight: those that a relay has leased.

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::store::Lease;
use idem_runtime::record::OwnerId;

/// The events in flight, by their places.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    leases: Mutex<HashMap<i64, ActiveLease>>,
    /// Notified when events are removed.
    removed: Notify,
    /// Notified when a lane has no event in flight any more.
    lane_freed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct ActiveLease {
    owner: OwnerId,
    lane: i64,
    /// When it ends, by this process's clock, or earlier: counted from before the statement was
    /// sent.
    until: Instant,
}

impl InFlight {
    /// Adds leased events, with their lanes.
    pub(super) fn add(&self, leased: impl IntoIterator<Item = (Lease, i64)>, until: Instant) {
        let active = |(Lease { seq, owner }, lane)| (seq, ActiveLease { owner, lane, until });
        self.leases.lock().extend(leased.into_iter().map(active));
    }

    /// Removes events.
    pub(super) fn remove(&self, ended: impl IntoIterator<Item = Lease>) {
        let mut lanes = HashSet::new();
        let mut leases = self.leases.lock();
        for Lease { seq, owner } in ended {
            // The event may have a later lease, which stays.
            if leases.get(&seq).is_some_and(|lease| lease.owner == owner)
                && let Some(lease) = leases.remove(&seq)
            {
                lanes.insert(lease.lane);
            }
        }
        for lease in leases.values() {
            lanes.remove(&lease.lane);
        }
        drop(leases);
        self.removed.notify_waiters();
        if !lanes.is_empty() {
            self.lane_freed.notify_waiters();
        }
    }

    /// The leases of all events.
    pub(super) fn all(&self) -> Vec<Lease> {
        let leases = self.leases.lock();
        leases.iter().map(|(seq, lease)| Lease { seq: *seq, owner: lease.owner }).collect()
    }

    /// Extends the leases of `asked` that are among the `renewed` places until `until`, and ends
    /// the others: another relay has taken them over.
    pub(super) fn renewed(&self, asked: &[Lease], renewed: &[i64], until: Instant) {
        let now = Instant::now();
        let mut leases = self.leases.lock();
        for Lease { seq, owner } in asked {
            if let Some(lease) = leases.get_mut(seq).filter(|lease| lease.owner == *owner) {
                lease.until = if renewed.contains(seq) { until } else { now };
            }
        }
    }

    /// Whether a lease is in force.
    pub(super) fn is_live(&self, lease: Lease) -> bool {
        let leases = self.leases.lock();
        let active = leases.get(&lease.seq).filter(|active| active.owner == lease.owner);
        active.is_some_and(|active| Instant::now() < active.until)
    }

    /// How many events may be added before there are `limit`. Waits until that is one at least.
    pub(super) async fn room(&self, limit: usize) -> usize {
        loop {
            let removed = self.removed.notified();
            tokio::pin!(removed);
            removed.as_mut().enable();
            let room = limit.saturating_sub(self.leases.lock().len());
            if room > 0 {
                return room;
            }
            removed.await;
        }
    }

    /// Resolves when a lane has no event in flight any more, so that its next events may be leased.
    pub(super) fn lane_freed(&self) -> Notified<'_> {
        self.lane_freed.notified()
    }
}
