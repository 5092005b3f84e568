//! Corners of the engine in which something once went wrong, each named after what must hold.

#![expect(clippy::unwrap_used, reason = "in the functions that tests share, as in tests")]

use std::future::{Ready, ready};
use std::pin::pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use futures_util::FutureExt;
use idem_runtime::clock::ManualClock;
use idem_runtime::key::RecordKey;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::{MemoryStorage, Release, SharedStorage, Storage, Watchers};
use idem_runtime::testing::{Fault, Faults, FaultyStorage, Verb};
use idem_runtime::{Error, ErrorKind, Idempotency, Key, current};
use tokio::runtime::{Builder, Runtime};
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(60);

const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A handle whose storage fails as told, and another on the same records that does not.
fn faulty() -> (Idempotency, Faults, Idempotency) {
    let records = MemoryStorage::new();
    let storage = FaultyStorage::new(records.clone());
    let faults = storage.faults().clone();
    (Idempotency::new(storage).unwrap(), faults, Idempotency::new(records).unwrap())
}

fn single_threaded() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

async fn forever() -> Result<u32, Error> {
    std::future::pending().await
}

fn value(value: u32) -> Ready<Result<u32, Error>> {
    ready(Ok(value))
}

#[test]
fn a_call_dropped_outside_of_a_runtime_is_no_longer_under_way() {
    let idem = Idempotency::memory();
    let runtime = single_threaded();
    let mut call = Box::pin(idem.operation("op").key("k").lease(ms(50)).run(forever()));
    runtime.block_on(async {
        assert!(timeout(ms(20), call.as_mut()).await.is_err());
    });
    assert_eq!(idem.in_flight(), 1);
    drop(runtime);
    drop(call);
    assert_eq!(idem.in_flight(), 0);
    let next = idem.operation("op").key("k").wait(TTL).run(value(2));
    let next = single_threaded().block_on(async { timeout(ms(1_000), next).await });
    assert_eq!(next.unwrap().unwrap(), 2);
}

#[test]
fn a_call_whose_runtime_shuts_down_keeps_nobody_waiting() {
    let several_threads = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    for runtime in [single_threaded(), several_threads.unwrap()] {
        let (idem, faults, _) = faulty();
        faults.always(Verb::Release, Fault::Hang);
        let call = idem.operation("op").key("k").lease(ms(50)).run(forever());
        runtime.spawn(call);
        runtime.block_on(async { sleep(ms(20)).await });
        assert_eq!(idem.in_flight(), 1);
        drop(runtime);
        assert_eq!(idem.in_flight(), 1, "its release goes on without that runtime");
        let next = idem.operation("op").key("k").wait(TTL).run(value(2));
        let next = single_threaded().block_on(async { timeout(ms(1_000), next).await });
        assert_eq!(next.unwrap().unwrap(), 2, "and keeps nobody waiting");
        let given_up = async {
            while idem.in_flight() > 0 {
                sleep(ms(20)).await;
            }
        };
        let given_up = single_threaded().block_on(async { timeout(ms(60_000), given_up).await });
        assert!(given_up.is_ok(), "a release that hangs is given up");
    }
}

#[tokio::test]
async fn a_duplicate_does_not_wait_for_the_release_of_a_dropped_call() {
    let (idem, faults, _) = faulty();
    faults.always(Verb::Release, Fault::HangAfter);
    let dropped = idem.operation("op").key("k").run(forever());
    assert!(timeout(ms(20), dropped).await.is_err());
    assert_eq!(idem.in_flight(), 1, "its end is still being written");
    assert_eq!(idem.operation("op").key("k").run(value(2)).await.unwrap(), 2);
}

#[tokio::test]
async fn the_lease_of_a_dropped_call_is_not_renewed() {
    let (idem, faults, _) = faulty();
    faults.always(Verb::Release, Fault::Refuse);
    let dropped = idem.operation("op").key("k").lease(ms(150)).run(forever());
    assert!(timeout(ms(20), dropped).await.is_err());
    sleep(ms(140)).await;
    assert_eq!(faults.calls(Verb::Renew), 0);
}

#[tokio::test]
async fn a_parked_operation_dropped_before_its_body_began_is_not_indeterminate() {
    let idem = Idempotency::memory();
    let operation = || idem.operation("op").key("k").on_crash(CrashPolicy::Park);
    let began = AtomicU32::new(0);
    let call = operation().run(async {
        began.fetch_add(1, Ordering::SeqCst);
        forever().await
    });
    // The first call on a runtime yields, so that the keeper starts.
    assert!(call.now_or_never().is_none());
    assert_eq!(began.load(Ordering::SeqCst), 0);
    assert_eq!(operation().run(value(2)).await.unwrap(), 2);
}

#[test]
fn a_call_without_a_runtime_is_an_error_and_claims_nothing() {
    let (idem, faults, _) = faulty();
    let call = pin!(idem.operation("op").key("k").run(value(1)));
    let Poll::Ready(Err(error)) = call.poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("it ran");
    };
    assert_eq!(error.kind(), ErrorKind::Configuration);
    assert_eq!(faults.calls(Verb::Claim), 0);
    assert_eq!(idem.in_flight(), 0);
}

#[tokio::test]
async fn a_body_does_not_start_under_a_lease_that_is_over() {
    let (idem, faults, other) = faulty();
    // The pauses after them are longer than the lease together.
    for _ in 0..3 {
        faults.next(Verb::Claim, Fault::LoseReply);
    }
    let body = async {
        let duplicate = other.operation("op").key("k").run(value(2)).await;
        assert_eq!(duplicate.map_err(|error| error.kind()), Err(ErrorKind::AlreadyProcessing));
        value(1).await
    };
    let first = idem.operation("op").key("k").lease(ms(60)).run(body).await;
    assert_eq!(first.unwrap(), 1);
}

#[tokio::test]
async fn a_claim_that_was_taken_over_before_its_answer_came_does_not_run() {
    let (idem, faults, other) = faulty();
    for _ in 0..3 {
        faults.next(Verb::Claim, Fault::LoseReply);
    }
    let first = idem.operation("op").key("k").lease(ms(30)).wait(TTL).run(value(1));
    let thief = async {
        sleep(ms(60)).await;
        let body = async {
            sleep(ms(200)).await;
            value(2).await
        };
        other.operation("op").key("k").run(body).await
    };
    let (first, thief) = tokio::join!(first, thief);
    assert_eq!(thief.unwrap(), 2);
    assert_eq!(first.unwrap(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_hangs_does_not_cost_another_lease_its_renewal() {
    let (idem, faults, _) = faulty();
    faults.next(Verb::Renew, Fault::Hang);
    let hanging = idem.operation("op").key("hanging").lease(ms(3_000)).run(forever());
    let other = async {
        while faults.calls(Verb::Renew) == 0 {
            sleep(ms(5)).await;
        }
        let body = async {
            let lost = timeout(ms(900), current().unwrap().lease_lost()).await.is_ok();
            Ok::<_, Error>(lost)
        };
        idem.operation("op").key("other").lease(ms(300)).run(body).await
    };
    tokio::select! {
        hanging = hanging => panic!("it ended with {hanging:?}"),
        lost = other => assert!(!lost.unwrap()),
    }
}

#[tokio::test]
async fn a_duplicate_that_waited_in_vain_learns_when_the_lease_is_over() {
    let records = MemoryStorage::new();
    let one = Idempotency::new(records.clone()).unwrap();
    let two = Idempotency::new(records).unwrap();
    let running = one.operation("op").key("k").run(forever());
    let duplicate = |wait| two.operation("op").key("k").wait(ms(wait)).run(value(2));
    let duplicates = async { tokio::join!(duplicate(200), duplicate(50)) };
    let (leader, follower) = tokio::select! {
        biased;
        running = running => panic!("it ended with {running:?}"),
        duplicates = duplicates => duplicates,
    };
    for error in [leader.unwrap_err(), follower.unwrap_err()] {
        assert_eq!(error.kind(), ErrorKind::AlreadyProcessing);
        assert!(error.retry_after().unwrap() > Duration::from_secs(20));
    }
}

#[tokio::test]
async fn a_short_wait_does_not_hide_a_result_that_is_there() {
    let (idem, faults, other) = faulty();
    other.operation("op").key("k").run(value(1)).await.unwrap();
    faults.always(Verb::Claim, Fault::Delay(ms(50)));
    let duplicate = || idem.operation("op").key("k").wait(ms(5)).run(value(2));
    let (leader, follower) = tokio::join!(duplicate(), duplicate());
    assert_eq!((leader.unwrap(), follower.unwrap()), (1, 1));
    assert_eq!(faults.calls(Verb::Claim), 1, "what one is told is for both");
}

#[tokio::test]
async fn a_wait_ends_in_time_although_the_subscription_hangs() {
    let (idem, faults, other) = faulty();
    faults.always(Verb::Watch, Fault::Hang);
    let running = other.operation("op").key("k").run(forever());
    let started = Instant::now();
    let waiter = idem.operation("op").key("k").wait(ms(50)).run(value(2));
    let waiter = timeout(Duration::from_secs(2), waiter);
    tokio::select! {
        biased;
        running = running => panic!("it ended with {running:?}"),
        waiter = waiter => {
            let error = waiter.expect("it waits as long as it was told").unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AlreadyProcessing);
            assert!(started.elapsed() >= ms(50));
        }
    }
}

/// Because the storage is down, or because the record is not there any more when the end comes to be written.
#[tokio::test]
async fn a_result_that_stays_unrecorded_is_reported_although_its_caller_has_gone() {
    for fault in [Fault::Refuse, Fault::Delay(ms(50))] {
        let records = MemoryStorage::new();
        let storage = FaultyStorage::new(records.clone());
        let faults = storage.faults().clone();
        let reports = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&reports);
        let count = move |_: &idem_runtime::hooks::CallEvent<'_>| {
            counter.fetch_add(1, Ordering::SeqCst);
        };
        let idem = Idempotency::builder(storage).on_unrecorded(count).build().unwrap();
        faults.always(Verb::Complete, fault);
        let body = async {
            let call = current().unwrap();
            let key = RecordKey::new("default", None, call.key()).unwrap();
            records.release(&Release { key, owner: call.owner() }).await.unwrap();
            value(1).await
        };
        let call = idem.operation("op").key("k").lease(ms(100)).run(body);
        assert!(timeout(ms(20), call).await.is_err());
        let gone = async {
            while idem.in_flight() > 0 {
                sleep(ms(10)).await;
            }
        };
        timeout(Duration::from_secs(10), gone).await.unwrap();
        assert_eq!(reports.load(Ordering::SeqCst), 1, "{fault:?}");
    }
}

#[tokio::test]
async fn the_longest_durations_are_no_overflow() {
    let (idem, faults, _) = faulty();
    faults.always(Verb::Renew, Fault::Refuse);
    let operation = || {
        idem.operation("op").key("k").ttl(Duration::MAX).lease(Duration::MAX).wait(Duration::MAX)
    };
    let short = idem.operation("op").key("short").lease(ms(30)).run(forever());
    let calls = async {
        let slow = operation().run(async {
            sleep(ms(50)).await;
            value(1).await
        });
        tokio::join!(slow, operation().run(value(2)))
    };
    tokio::select! {
        short = short => panic!("it ended with {short:?}"),
        (first, second) = calls => assert_eq!((first.unwrap(), second.unwrap()), (1, 1)),
    }
}

/// What nobody listens to must not pile up.
#[tokio::test(start_paused = true)]
async fn changes_that_nobody_waits_for_are_one_wakeup() {
    let watchers = Watchers::new(|_| {});
    let key = RecordKey::new("default", None, &Key::new("k").unwrap()).unwrap();
    let (mut slow, _) = watchers.subscribe(&key);
    let (mut fast, _) = watchers.subscribe(&key);
    for _ in 0..10_000 {
        watchers.wake(key.as_str());
        assert!(timeout(ms(1), fast.changed()).await.is_ok());
    }
    watchers.wake_all();
    for waiter in [&mut fast, &mut slow] {
        assert!(timeout(ms(1), waiter.changed()).await.is_ok());
        assert!(timeout(ms(1), waiter.changed()).await.is_err(), "each change is told once");
    }
}

#[test]
fn a_key_is_watched_until_its_last_waiter_leaves() {
    let watchers = Watchers::new(|_| {});
    let keys =
        ["one", "two"].map(|key| RecordKey::new("default", None, &Key::new(key).unwrap()).unwrap());
    let [(first, true), (second, false)] = [0; 2].map(|_| watchers.subscribe(&keys[0])) else {
        panic!("the first waiter is the first one");
    };
    drop(first);
    assert_eq!(keys.each_ref().map(|key| watchers.is_watched(key)), [true, false]);
    drop(second);
    assert_eq!(keys.each_ref().map(|key| watchers.is_watched(key)), [false, false]);
}

#[test]
fn a_key_whose_last_waiters_leave_together_is_forgotten() {
    let watchers = Watchers::new(|_| {});
    let key = |number: u32| Key::new(number.to_string()).unwrap();
    let keys: Vec<_> =
        (0..60_000).map(|number| RecordKey::new("default", None, &key(number)).unwrap()).collect();
    let waiters = || keys.iter().map(|key| watchers.subscribe(key).0).collect::<Vec<_>>();
    let crowd: Vec<_> = (0..4).map(|_| waiters()).collect();
    let start = Barrier::new(crowd.len());
    std::thread::scope(|scope| {
        for waiters in crowd {
            scope.spawn(|| {
                start.wait();
                drop(waiters);
            });
        }
    });
    assert_eq!(watchers.keys().len(), 0);
}

/// Records of this process are replayed without a claim, and by the same rules: on the storage itself, since a wrapper hides the short cut.
#[tokio::test]
async fn a_replay_without_a_claim_goes_by_fingerprint_and_retention() {
    let clock = ManualClock::new();
    let idem = Idempotency::new(MemoryStorage::with_clock(clock.clone())).unwrap();
    let charge = |order: &str| idem.operation("charge").key("k").ttl(TTL).fingerprint(order);

    assert_eq!(charge("one").run(value(1)).await.unwrap(), 1);
    let replay = charge("one").run_with_outcome(value(2)).await.unwrap();
    assert!(replay.is_replayed() && replay.value == 1);
    let mismatch = charge("another").run(value(3)).await.unwrap_err();
    assert_eq!(mismatch.kind(), ErrorKind::Mismatch);

    clock.advance(TTL.saturating_sub(ms(1)));
    assert_eq!(charge("one").run(value(4)).await.unwrap(), 1);
    clock.advance(ms(1));
    assert_eq!(charge("another").run(value(5)).await.unwrap(), 5);
    let declined = ready(Err::<u32, _>(Error::new(ErrorKind::Configuration, "declined")));
    clock.advance(TTL);
    charge("one").run(declined).await.unwrap_err();
    let failed = charge("one").run(value(6)).await.unwrap_err();
    assert_eq!(failed.kind(), ErrorKind::PreviouslyFailed);
    clock.advance(TTL);
    assert_eq!(charge("one").run(value(7)).await.unwrap(), 7);
}

#[tokio::test]
async fn a_shared_storage_shared_again_is_the_same_storage() {
    let shared = SharedStorage::new(SharedStorage::new(MemoryStorage::new()));
    let [one, two] = [shared.clone(), shared].map(|storage| Idempotency::new(storage).unwrap());
    assert_eq!(one.operation("op").key("k").run(value(1)).await.unwrap(), 1);
    assert!(two.operation("op").key("k").run_with_outcome(value(2)).await.unwrap().is_replayed());
}
