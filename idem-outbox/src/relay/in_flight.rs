//! The events that a relay has leased.

use hashbrown::{HashMap, HashSet};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;

use crate::store::Held;
use idem_runtime::record::OwnerId;

/// Those that are leased, by their places.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    leases: Mutex<HashMap<i64, Lease>>,
    /// Some have come to their end.
    settled: Notify,
    /// Lanes have none left.
    freed: Notify,
}

#[derive(Clone, Copy, Debug)]
struct Lease {
    owner: OwnerId,
    lane: i64,
    /// When it ends, or earlier, by this process's clock: counted from before the database was asked for it.
    until: Instant,
}

impl InFlight {
    /// Events that have been leased, with their lanes.
    pub(super) fn add(&self, held: impl IntoIterator<Item = (Held, i64)>, until: Instant) {
        let lease = |(Held { seq, owner }, lane)| (seq, Lease { owner, lane, until });
        self.leases.lock().extend(held.into_iter().map(lease));
    }

    /// Events that are not in flight any more.
    pub(super) fn remove(&self, held: impl IntoIterator<Item = Held>) {
        let mut ended = HashSet::new();
        let mut leases = self.leases.lock();
        for Held { seq, owner } in held {
            // A later lease of the same event is not this one's to end.
            if leases.get(&seq).is_some_and(|lease| lease.owner == owner)
                && let Some(lease) = leases.remove(&seq)
            {
                ended.insert(lease.lane);
            }
        }
        for lease in leases.values() {
            ended.remove(&lease.lane);
        }
        drop(leases);
        self.settled.notify_waiters();
        if !ended.is_empty() {
            self.freed.notify_waiters();
        }
    }

    /// All of them.
    pub(super) fn held(&self) -> Vec<Held> {
        let leases = self.leases.lock();
        leases.iter().map(|(seq, lease)| Held { seq: *seq, owner: lease.owner }).collect()
    }

    /// Leases that were extended until `until`, and those that were not and are somebody else's.
    pub(super) fn renewed(&self, asked: &[Held], renewed: &[i64], until: Instant) {
        let now = Instant::now();
        let mut leases = self.leases.lock();
        for Held { seq, owner } in asked {
            if let Some(lease) = leases.get_mut(seq).filter(|lease| lease.owner == *owner) {
                lease.until = if renewed.contains(seq) { until } else { now };
            }
        }
    }

    /// Whether an event's lease lasts.
    pub(super) fn is_live(&self, held: Held) -> bool {
        let leases = self.leases.lock();
        leases
            .get(&held.seq)
            .is_some_and(|lease| lease.owner == held.owner && Instant::now() < lease.until)
    }

    /// How many there are room for until there are `limit`; waits until it is at least one.
    pub(super) async fn room(&self, limit: usize) -> usize {
        loop {
            let settled = self.settled.notified();
            tokio::pin!(settled);
            settled.as_mut().enable();
            let room = limit.saturating_sub(self.leases.lock().len());
            if room > 0 {
                return room;
            }
            settled.await;
        }
    }

    /// Resolves when a lane has nothing in flight any more, so that it may be looked at again.
    pub(super) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}
