//! Answers that come late, and how often the keeper looks.

#![expect(clippy::unwrap_used, reason = "in the functions that tests share, as in tests")]

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::{Instant, advance, sleep, timeout};

use super::{Flight, Phase, renew};
use crate::engine::{Idempotency, current};
use crate::error::Error;
use crate::storage::MemoryStorage;
use crate::testing::{Fault, Faults, FaultyStorage, Verb};

const LEASE: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(3);

fn faulty() -> (Idempotency, Faults) {
    let storage = FaultyStorage::new(MemoryStorage::new());
    let faults = storage.faults().clone();
    (Idempotency::new(storage).unwrap(), faults)
}

fn lease_until(flight: &Flight) -> Instant {
    flight.lease_end().unwrap()
}

/// Two keepers of one handle, on two runtimes, ask one after the other, and the first one's answer
/// comes last.
#[tokio::test(start_paused = true)]
async fn a_stale_answer_does_not_shorten_a_lease() {
    let (idem, faults) = faulty();
    let call = idem.operation("op").key("k").lease(LEASE).run(async {
        let inner = &idem.0;
        let mut due = inner.flights.take_due(Instant::now() + LEASE);
        let flight = due.pop().unwrap();
        faults.next(Verb::Renew, Fault::DelayReply(Duration::from_secs(5)));
        let first = renew(inner.renewer.clone(), vec![flight.clone()]);
        let second = async {
            sleep(Duration::from_secs(4)).await;
            renew(inner.renewer.clone(), vec![flight.clone()]).await;
            lease_until(&flight)
        };
        let ((), renewed) = tokio::join!(first, second);
        assert_eq!(renewed, Instant::now() - Duration::from_secs(1) + LEASE);
        assert_eq!(lease_until(&flight), renewed);
        Ok::<_, Error>(())
    });
    call.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_a_call_that_has_ended_changes_nothing() {
    let (idem, faults) = faulty();
    faults.always(Verb::Complete, Fault::Refuse);
    let mut flight = None;
    let body = async {
        flight = idem.0.flights.take_due(Instant::now() + LEASE).pop();
        Ok::<_, Error>(())
    };
    let outcome = idem.operation("op").key("k").lease(LEASE).run_with_outcome(body).await;
    assert_eq!(outcome.unwrap().source, crate::Source::Unrecorded);
    let flight = flight.unwrap();
    flight.until(|phase| matches!(phase, Phase::Finished(_)).then_some(())).await;
    assert!(!flight.taken_over());
    flight.update_running(|_| Phase::Abandoned);
    let finished = flight.until(|phase| matches!(phase, Phase::Finished(_)).then_some(()));
    assert!(timeout(LEASE, finished).await.is_ok());
    assert!(!flight.is_lost());
}

/// Found by the soak: nothing is due any more, so it sleeps for an hour.
#[tokio::test(start_paused = true)]
async fn a_keeper_ends_with_its_handle_however_long_it_sleeps() {
    let idem = Idempotency::memory();
    let call = idem.operation("op").key("k").lease(SHORT).run(async { Ok::<_, Error>(()) });
    call.await.unwrap();
    while idem.0.renewer.tick() < Duration::from_secs(3600) {
        sleep(SHORT).await;
    }
    // It has begun to sleep.
    sleep(SHORT).await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    assert_eq!(tasks(), 1);
    drop(idem);
    sleep(SHORT).await;
    assert_eq!(tasks(), 0);
}

/// No task per call, none that is looked for on a runtime that has ended, and no pause but the one
/// in which it starts.
#[test]
fn a_runtime_has_one_keeper_for_as_long_as_it_lasts_and_the_library_one_for_all() {
    let idem = Idempotency::memory();
    let ends_at_once = |runtime: &Runtime, key: &'static str| {
        let call = idem.operation("op").key(key).lease(LEASE).run(async { Ok::<_, Error>(()) });
        runtime.block_on(async { call.now_or_never().is_some() })
    };
    let keepers = || idem.0.renewer.runtimes.lock().len();
    let [one, another] = [0; 2].map(|_| Builder::new_current_thread().enable_time().build());
    let (one, another) = (one.unwrap(), another.unwrap());
    for (runtime, keys) in [(&one, ["a", "b", "c"]), (&another, ["d", "e", "f"])] {
        assert_eq!(keys.map(|key| ends_at_once(runtime, key)), [false, true, true]);
        assert_eq!(runtime.metrics().num_alive_tasks(), 1);
    }
    assert_eq!(keepers(), 3);
    drop(one);
    assert_eq!(keepers(), 2);
    assert!(ends_at_once(&another, "g"));
    assert_eq!((another.metrics().num_alive_tasks(), keepers()), (1, 2));
}

/// The library's thread has another time: what it did there would be a test's surprise, and differ
/// from run to run.
#[test]
fn a_handle_in_paused_time_is_left_alone_by_the_librarys_thread() {
    let idem = Idempotency::memory();
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    let call = idem.operation("op").key("k").lease(SHORT).run(async {
        // Far longer than the lease in the thread's time, and none in this runtime's.
        std::thread::sleep(SHORT * 20);
        let due = idem.0.flights.take_due(Instant::now());
        Ok::<_, Error>((idem.0.renewer.runtimes.lock().len(), due.len()))
    });
    assert_eq!(runtime.block_on(call).unwrap(), (1, 0));
}

/// So is one whose time is paused only later.
#[tokio::test]
async fn the_librarys_keeper_ends_where_time_is_paused() {
    let idem = Idempotency::memory();
    let call = || idem.operation("op").key("k").lease(SHORT).run(async { Ok::<_, Error>(()) });
    call().await.unwrap();
    let keepers = || idem.0.renewer.runtimes.lock().len();
    assert_eq!(keepers(), 2);
    tokio::time::pause();
    while keepers() == 2 {
        sleep(SHORT).await;
        std::thread::sleep(SHORT);
    }
}

#[tokio::test(start_paused = true)]
async fn leases_that_are_equal_are_renewed_together() {
    let (idem, faults) = faulty();
    let calls = ["a", "b", "c"].map(|key| {
        let body = async {
            sleep(LEASE / 2).await;
            Ok::<_, Error>(())
        };
        idem.operation("op").key(key).lease(LEASE).run(body)
    });
    let [a, b, c] = calls;
    tokio::try_join!(a, b, c).unwrap();
    assert_eq!(faults.calls(Verb::Renew), 1);
}

#[tokio::test(start_paused = true)]
async fn one_short_lease_does_not_keep_the_keeper_busy_for_good() {
    let (idem, faults) = faulty();
    let short = || idem.operation("op").key("short").lease(SHORT);
    short().run(async { Ok::<_, Error>(()) }).await.unwrap();
    assert_eq!(idem.0.renewer.tick(), SHORT / 3);
    sleep(SHORT).await;
    assert_eq!(idem.0.renewer.tick(), SHORT / 3, "nor is it forgotten at once");
    let long = idem.operation("op").key("long").lease(LEASE).run(async {
        sleep(Duration::from_secs(1)).await;
        assert_eq!(idem.0.renewer.tick(), LEASE / 3);
        Ok::<_, Error>(())
    });
    long.await.unwrap();
    let before = faults.calls(Verb::Renew);
    // What was forgotten is looked after again as soon as somebody has such a lease.
    let body = async {
        let lost = timeout(LEASE, current().unwrap().lease_lost()).await;
        Ok::<_, Error>(lost.is_ok())
    };
    let again = idem.operation("op").key("again").lease(SHORT * 100).run(body);
    assert!(!again.await.unwrap());
    assert!(faults.calls(Verb::Renew) - before >= 290);
}

/// Two handles on one storage are two processes, as far as the library can tell.
#[tokio::test(start_paused = true)]
async fn a_body_that_sleeps_in_paused_time_keeps_its_key() {
    let storage = MemoryStorage::new();
    let handles = [(); 2].map(|()| Idempotency::new(storage.clone()).unwrap());
    let runs = AtomicU32::new(0);
    let [first, second] = handles.each_ref().map(|idem| {
        let call = idem.operation("op").key("k").lease(LEASE).wait(LEASE * 20);
        call.run(async {
            sleep(LEASE * 10).await;
            Ok::<_, Error>(runs.fetch_add(1, SeqCst))
        })
    });
    assert_eq!(tokio::try_join!(first, second).unwrap(), (0, 0));
    assert_eq!(runs.load(SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_result_is_kept_for_its_ttl_in_paused_time_and_no_longer() {
    let idem = Idempotency::memory();
    let (runs, last) = (AtomicU32::new(0), Duration::from_millis(1));
    let call = || {
        let call = idem.operation("op").key("k").ttl(LEASE + last);
        call.run(async { Ok::<_, Error>(runs.fetch_add(1, SeqCst)) })
    };
    assert_eq!(call().await.unwrap(), 0);
    advance(LEASE).await;
    assert_eq!(call().await.unwrap(), 0);
    advance(last).await;
    assert_eq!(call().await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leap_in_paused_time_does_not_end_a_call() {
    let idem = Idempotency::memory();
    let call = || idem.operation("op").key("k").lease(LEASE);
    let first = call().run(async {
        advance(LEASE * 3).await;
        Ok::<_, Error>(1)
    });
    assert_eq!(first.await.unwrap(), 1);
    assert_eq!(call().run(async { Ok::<_, Error>(2) }).await.unwrap(), 1);
}
