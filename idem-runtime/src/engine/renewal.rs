//! Lease renewal: tasks that renew the leases of a handle's in-flight calls, in batches.
//!
//! A handle has one task on each runtime that it is used from and one on the library's own thread
//! ([`driver`](crate::driver)). Each renews the leases that are due, and a lease that one of them has
//! taken on is not due for the others. So a body keeps its lease though it blocks the only thread of
//! its runtime, or that runtime is not driven, or the storage blocks the library's thread. Under
//! paused time the task on the library's thread is left out.
//!
//! A short call never touches a task: it looks at the in-flight table every third of the shortest
//! lease, so a new call need not wake it. Every sixteenth look recomputes the shortest lease, so that
//! one short lease does not keep the task busy for good.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::complaints::Complaints;
use super::flight::{Flight, Flights, Phase, later};
use crate::driver;
use crate::record::millis;
use crate::runtime::Time;
use crate::storage::{Renew, SharedStorage, Storage, Written};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::runtime::{self, Handle};
use crate::sync::time::{Instant, sleep_until, timeout};
use crate::sync::{Mutex, Notify, select};

pub(crate) struct Renewer {
    storage: SharedStorage,
    flights: Arc<Flights>,
    complaints: Arc<Complaints>,
    /// In milliseconds.
    shortest_lease: AtomicU64,
    /// Where a keeper runs, and how to wake it.
    runtimes: Mutex<Vec<(runtime::Id, Arc<Notify>)>>,
    /// The handle has been used where time is a test's.
    in_paused_time: AtomicBool,
}

impl Renewer {
    pub(crate) fn new(
        storage: SharedStorage,
        flights: Arc<Flights>,
        complaints: Arc<Complaints>,
    ) -> Self {
        Self {
            storage,
            flights,
            complaints,
            shortest_lease: AtomicU64::new(u64::MAX),
            runtimes: Mutex::default(),
            in_paused_time: AtomicBool::new(false),
        }
    }

    /// The handle is used where time is of this kind.
    pub(crate) fn lives_in(&self, time: Time) {
        if time == Time::Paused {
            self.in_paused_time.store(true, Ordering::Relaxed);
        }
    }

    /// The library's own runtime, for work that must outlive the application's runtimes. `None` if it
    /// could not be started, and for a handle in paused time: the clock of that runtime is not paused.
    pub(crate) fn driver(&self) -> Option<&'static Handle> {
        if self.in_paused_time.load(Ordering::Relaxed) { None } else { driver::engine() }
    }

    /// Sees to it that a lease of this length will be renewed in time. True when a keeper had to be started or woken for it: the caller
    /// should then yield once, so that the one on its runtime starts even if the body blocks the thread.
    pub(crate) fn watch_over(self: &Arc<Self>, lease: Duration) -> bool {
        let lease = millis(lease);
        let shorter = lease < self.shortest_lease.load(Ordering::Relaxed)
            && lease < self.shortest_lease.fetch_min(lease, Ordering::Relaxed);
        let Ok(here) = Handle::try_current() else { return false };
        let runtimes = self.runtimes.lock();
        if shorter {
            runtimes.iter().for_each(|(_, wake)| wake.notify_one());
        }
        let running = runtimes.iter().any(|(id, _)| *id == here.id());
        drop(runtimes);
        if !running {
            self.start(&here, Whose::Application);
            if let Some(driver) = self.driver() {
                self.start(driver, Whose::Library);
            }
        }
        shorter || !running
    }

    /// Starts a keeper on this runtime, unless there is one.
    fn start(self: &Arc<Self>, on: &Handle, whose: Whose) {
        let wake = Arc::new(Notify::new());
        let mut runtimes = self.runtimes.lock();
        if runtimes.iter().any(|(id, _)| *id == on.id()) {
            return;
        }
        runtimes.push((on.id(), Arc::clone(&wake)));
        // A runtime that is shutting down drops the task at once, and `Registered` takes the lock.
        drop(runtimes);
        let registered = Registered { renewer: Arc::downgrade(self), runtime: on.id() };
        on.spawn(run(registered, wake, whose));
    }

    /// Recomputes the shortest active lease. A call that this overlooks enters the table later and
    /// then wakes the task: a call enters before it looks at the shortest lease.
    fn forget(&self) {
        let _no_tick_meanwhile = self.runtimes.lock();
        self.shortest_lease.store(u64::MAX, Ordering::Relaxed);
        if let Some(lease) = self.flights.shortest_lease() {
            self.shortest_lease.fetch_min(millis(lease), Ordering::Relaxed);
        }
    }

    fn tick(&self) -> Duration {
        let _not_while_forgetting = self.runtimes.lock();
        let lease = self.shortest_lease.load(Ordering::Relaxed);
        Duration::from_millis((lease / 3).clamp(1, 3_600_000))
    }
}

impl Drop for Renewer {
    /// A task that sleeps until something is due, for an hour at most, is not to outlive the handle by that.
    fn drop(&mut self) {
        self.runtimes.get_mut().iter().for_each(|(_, wake)| wake.notify_one());
    }
}

/// A running keeper. When its task ends, be it with its runtime, the next call starts another.
struct Registered {
    renewer: Weak<Renewer>,
    runtime: runtime::Id,
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(renewer) = self.renewer.upgrade() {
            renewer.runtimes.lock().retain(|(id, _)| *id != self.runtime);
        }
    }
}

/// After how many looks at the list a lease that is no longer used is forgotten: it costs the next call that has one a wake-up.
const LOOKS: u32 = 16;

/// Whose runtime a keeper is on.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Application,
    Library,
}

async fn run(registered: Registered, wake: Arc<Notify>, whose: Whose) {
    let renewer = &registered.renewer;
    let mut next: Option<Instant> = None;
    let mut looks = 0_u32;
    let mut batches = FuturesUnordered::new();
    // A sleeping keeper does not keep the handle alive.
    while let Some(tick) = renewer.upgrade().map(|renewer| Instant::now() + renewer.tick()) {
        select! {
            biased;
            () = sleep_until(next.map_or(tick, |next| next.min(tick))) => {}
            () = wake.notified() => {}
            Some(()) = batches.next() => {}
        }
        let Some(renewer) = renewer.upgrade() else { return };
        renewer.lives_in(crate::runtime::time());
        if whose == Whose::Library && renewer.driver().is_none() {
            return;
        }
        // A batch is of equal leases, and no batch waits for another: what one lease can wait for is too long for a shorter one.
        let mut due = renewer.flights.take_due(Instant::now());
        due.sort_unstable_by_key(|flight| flight.lease);
        for batch in due.chunk_by(|one, other| one.lease == other.lease) {
            batches.push(renew(Arc::clone(&renewer), batch.to_vec()));
        }
        next = renewer.flights.next_renewal();
        looks = (looks + 1) % LOOKS;
        if looks == 0 {
            renewer.forget();
        }
    }
}

/// Renews a batch. What the storage does not answer is asked again soon: until somebody takes over, a late renewal is as good.
async fn renew(renewer: Arc<Renewer>, due: Vec<Arc<Flight>>) {
    let renewals: Vec<Renew> = due
        .iter()
        .map(|flight| Renew { key: flight.name.record.clone(), owner: flight.owner })
        .collect();
    let asked = Instant::now();
    let patience = due.first().map_or(Duration::ZERO, |flight| flight.lease / 3);
    let answers = timeout(patience, renewer.storage.renew(&renewals)).await;
    let mut answers = answers.unwrap_or_default().into_iter();
    for flight in &due {
        let operation = &flight.name.operation;
        match answers.next() {
            Some(Ok(Written::Done)) => {
                // The keeper of another runtime may have renewed it since.
                let begun = |until: Instant| until.checked_sub(flight.lease).unwrap_or(asked);
                flight
                    .update_running(|until| Phase::running(asked.max(begun(until)), flight.lease));
            }
            Some(Ok(Written::LeaseLost(_))) => {
                if flight.taken_over() {
                    tracing::warn!(%operation, "a lease was lost while its body ran");
                }
            }
            Some(Err(error)) => {
                renewer.complaints.renewal(&flight.name, Some(&error));
                ask_again(flight, flight.lease / 12);
            }
            None => {
                renewer.complaints.renewal(&flight.name, None);
                ask_again(flight, flight.lease / 12);
            }
        }
    }
}

fn ask_again(flight: &Flight, pause: Duration) {
    let renew_at = later(Instant::now(), pause);
    flight.update_running(|lease_until| Phase::Running { lease_until, renew_at });
}

#[cfg(all(test, feature = "json", feature = "testing"))]
mod tests;
