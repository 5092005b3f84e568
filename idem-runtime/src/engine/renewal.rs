//! Lease renewal: tasks that renew the leases of a handle's in-flight calls, in batches.
//!
//! A handle has one task on each runtime that it is used from and one on the library's own thread
//! ([`driver`](crate::driver)). Each renews the leases that are due, and a lease that one of them
//! is renewing is not due for the others. So a body keeps its lease though it blocks the only
//! thread of its runtime, or that runtime is not driven, or the storage blocks the library's
//! thread. Under paused time there is no task on the library's thread.
//!
//! A task checks the in-flight table every third of the shortest lease, so a new call with a longer
//! lease does not wake it. Every sixteenth check recomputes the shortest lease, so that one short
//! lease does not keep the task busy for good.

use std::sync::{Arc, Weak};
use std::time::Duration;

use futures_util::stream::{FuturesUnordered, StreamExt};

use super::flight::{Flight, Phase, later};
use super::in_flight_table::InFlightTable;
use super::throttled_log::ThrottledLog;
use crate::driver;
use crate::record::millis;
use crate::runtime::TimeKind;
use crate::storage::{Renew, SharedStorage, Storage, Written};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::runtime::{self, Handle};
use crate::sync::time::{Instant, sleep_until, timeout};
use crate::sync::{Mutex, Notify, select};

pub(crate) struct Renewer {
    storage: SharedStorage,
    flights: Arc<InFlightTable>,
    log: Arc<ThrottledLog>,
    /// In milliseconds.
    shortest_lease: AtomicU64,
    /// The runtimes that have a renewal task, and how to wake it.
    runtimes: Mutex<Vec<(runtime::Id, Arc<Notify>)>>,
    /// The handle has been used under paused time.
    in_paused_time: AtomicBool,
}

impl Renewer {
    pub(crate) fn new(
        storage: SharedStorage,
        flights: Arc<InFlightTable>,
        log: Arc<ThrottledLog>,
    ) -> Self {
        Self {
            storage,
            flights,
            log,
            shortest_lease: AtomicU64::new(u64::MAX),
            runtimes: Mutex::default(),
            in_paused_time: AtomicBool::new(false),
        }
    }

    /// Notes the kind of time under which the handle is used.
    pub(crate) fn lives_in(&self, time: TimeKind) {
        if time == TimeKind::Paused {
            self.in_paused_time.store(true, Ordering::Relaxed);
        }
    }

    /// The library's own runtime, for work that must outlive the application's runtimes. `None` if
    /// it could not be started, and for a handle in paused time: the clock of that runtime is not
    /// paused.
    pub(crate) fn driver(&self) -> Option<&'static Handle> {
        if self.in_paused_time.load(Ordering::Relaxed) { None } else { driver::engine() }
    }

    /// Starts or wakes renewal tasks if a lease of this length needs it, and returns whether it
    /// did: the caller then yields once, so that the task on its runtime starts even if the body
    /// blocks the thread.
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
            self.start(&here, RenewalThread::Application);
            if let Some(driver) = self.driver() {
                self.start(driver, RenewalThread::Library);
            }
        }
        shorter || !running
    }

    /// Starts the renewal task of a runtime, unless it has one.
    fn start(self: &Arc<Self>, on: &Handle, thread: RenewalThread) {
        let wake = Arc::new(Notify::new());
        let mut runtimes = self.runtimes.lock();
        if runtimes.iter().any(|(id, _)| *id == on.id()) {
            return;
        }
        runtimes.push((on.id(), Arc::clone(&wake)));
        // A runtime that is shutting down drops the task at once, and `TaskRegistration` takes the
        // lock.
        drop(runtimes);
        let registration = TaskRegistration { renewer: Arc::downgrade(self), runtime: on.id() };
        on.spawn(run(registration, wake, thread));
    }

    /// Recomputes the shortest active lease. A call that this misses enters the table later and
    /// then wakes the task: a call enters before it checks at the shortest lease.
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
    /// Wakes the sleeping tasks, which then end with the handle.
    fn drop(&mut self) {
        self.runtimes.get_mut().iter().for_each(|(_, wake)| wake.notify_one());
    }
}

/// A running renewal task. After its end, with or without its runtime, the next call starts
/// another.
struct TaskRegistration {
    renewer: Weak<Renewer>,
    runtime: runtime::Id,
}

impl Drop for TaskRegistration {
    fn drop(&mut self) {
        if let Some(renewer) = self.renewer.upgrade() {
            renewer.runtimes.lock().retain(|(id, _)| *id != self.runtime);
        }
    }
}

/// The checks of the table between two recomputations of the shortest lease.
const CHECKS: u32 = 16;

/// The thread of a renewal task.
#[derive(Clone, Copy, PartialEq, Eq)]
enum RenewalThread {
    Application,
    Library,
}

async fn run(registration: TaskRegistration, wake: Arc<Notify>, thread: RenewalThread) {
    let renewer = &registration.renewer;
    let mut next: Option<Instant> = None;
    let mut checks = 0_u32;
    let mut batches = FuturesUnordered::new();
    // A sleeping task does not keep the handle alive.
    while let Some(tick) = renewer.upgrade().map(|renewer| Instant::now() + renewer.tick()) {
        select! {
            biased;
            () = sleep_until(next.map_or(tick, |next| next.min(tick))) => {}
            () = wake.notified() => {}
            Some(()) = batches.next() => {}
        }
        let Some(renewer) = renewer.upgrade() else { return };
        renewer.lives_in(crate::runtime::time());
        if thread == RenewalThread::Library && renewer.driver().is_none() {
            return;
        }
        // A batch has leases of one length, and waits for no other batch: the time limit of one
        // length is too long for a shorter one.
        let mut due = renewer.flights.take_due(Instant::now());
        due.sort_unstable_by_key(|flight| flight.lease);
        for batch in due.chunk_by(|one, other| one.lease == other.lease) {
            batches.push(renew(Arc::clone(&renewer), batch.to_vec()));
        }
        next = renewer.flights.next_renewal();
        checks = (checks + 1) % CHECKS;
        if checks == 0 {
            renewer.forget();
        }
    }
}

/// Renews a batch. An unanswered renewal is repeated soon: until a takeover, a late renewal is
/// valid.
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
                // The task of another runtime may have renewed it meanwhile.
                let begun = |until: Instant| until.checked_sub(flight.lease).unwrap_or(asked);
                flight
                    .update_running(|until| Phase::running(asked.max(begun(until)), flight.lease));
            }
            Some(Ok(Written::LeaseLost(_))) => {
                if flight.taken_over() {
                    tracing::warn!(%operation, "a lease was lost while its body ran");
                }
            }
            failed => {
                renewer.log.renewal(&flight.name, failed.and_then(Result::err).as_ref());
                let renew_at = later(Instant::now(), flight.lease / 12);
                flight.update_running(|lease_until| Phase::Running { lease_until, renew_at });
            }
        }
    }
}

#[cfg(all(test, feature = "json", feature = "testing"))]
mod tests;
