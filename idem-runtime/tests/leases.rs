//! What becomes of leases: who learns of their loss, and who must not.
//!
//! On time that stands still until everybody waits, so that the order of things is always the same.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "in the functions that tests share, as in tests"
)]

use std::future::{pending, ready};
use std::time::Duration;

use futures_util::FutureExt;
use idem_runtime::key::RecordKey;
use idem_runtime::policy::ReleaseErrors;
use idem_runtime::record::CrashPolicy;
use idem_runtime::storage::{MemoryStorage, Release, Storage, StorageErrorKind};
use idem_runtime::testing::{Fault, Faults, FaultyStorage, Verb};
use idem_runtime::{Context, Error, ErrorKind, Idempotency, Operation, Outcome, Source, current};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep, timeout};

const LEASE: Duration = Duration::from_millis(300);
const LONG: Duration = Duration::from_secs(3600);

/// A handle, and what goes wrong between it and its records.
fn faulty() -> (Idempotency, Faults) {
    let storage = FaultyStorage::new(MemoryStorage::new());
    let faults = storage.faults().clone();
    (Idempotency::builder(storage).lease(LEASE).build().unwrap(), faults)
}

fn charge(idem: &Idempotency) -> Operation {
    idem.operation("charge").key("k")
}

/// Whether a task that a body left behind learns that the lease is lost.
async fn learns(context: Context) -> bool {
    timeout(LONG, context.lease_lost()).await.is_ok()
}

/// A body that hands its context out and goes on for ever.
async fn left_behind(context: oneshot::Sender<Context>) -> Result<u32, Error> {
    context.send(current().unwrap()).unwrap();
    pending().await
}

/// A body that hands its context out and ends.
async fn ended<T>(context: oneshot::Sender<Context>, end: T) -> T {
    context.send(current().unwrap()).unwrap();
    ready(end).await
}

fn panics() -> Result<u32, Error> {
    panic!("on purpose")
}

#[tokio::test(start_paused = true)]
async fn a_task_left_behind_by_a_dropped_body_learns_that_the_lease_is_lost() {
    for policy in [CrashPolicy::Retry, CrashPolicy::Park] {
        let (idem, _) = faulty();
        let (sender, context) = oneshot::channel();
        let call = charge(&idem).on_crash(policy).run(left_behind(sender));
        assert!(timeout(LEASE * 5, call).await.is_err());
        assert!(learns(context.await.unwrap()).await, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_body_leaves_what_its_policy_says() {
    for (policy, left) in
        [(CrashPolicy::Retry, Ok(2)), (CrashPolicy::Park, Err(ErrorKind::Indeterminate))]
    {
        let (idem, _) = faulty();
        let call = charge(&idem).on_crash(policy).run(pending::<Result<u32, Error>>());
        assert!(timeout(LEASE * 5, call).await.is_err());
        let next = charge(&idem).on_crash(policy).run(async { Ok::<_, Error>(2) }).await;
        assert_eq!(next.map_err(|error| error.kind()), left, "{policy:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_left_behind_by_a_panic_learns_that_the_lease_is_lost() {
    let (idem, _) = faulty();
    let (sender, context) = oneshot::channel();
    let call = charge(&idem).run(async {
        ended(sender, ()).await;
        panics()
    });
    assert!(tokio::spawn(call).await.unwrap_err().is_panic());
    assert!(learns(context.await.unwrap()).await);
}

#[tokio::test(start_paused = true)]
async fn a_task_left_behind_by_a_body_whose_key_was_released_learns_that_the_lease_is_lost() {
    let (idem, _) = faulty();
    let (sender, context) = oneshot::channel();
    let failed = Err::<u32, _>(Error::new(ErrorKind::Configuration, "declined"));
    let call = charge(&idem).errors(ReleaseErrors).run(ended(sender, failed));
    call.await.unwrap_err();
    assert!(learns(context.await.unwrap()).await);
}

#[tokio::test(start_paused = true)]
async fn a_task_left_behind_by_an_unrecorded_body_learns_that_the_lease_is_lost() {
    for kind in [StorageErrorKind::NotApplied, StorageErrorKind::Corrupt] {
        let (idem, faults) = faulty();
        faults.always(Verb::Complete, Fault::Fail(kind));
        let (sender, context) = oneshot::channel();
        let outcome: Outcome<u32> =
            charge(&idem).run_with_outcome(ended(sender, Ok::<_, Error>(1))).await.unwrap();
        assert_eq!(outcome.value, 1);
        assert!(learns(context.await.unwrap()).await, "{kind:?}");
        let is_tried_again = kind == StorageErrorKind::NotApplied;
        assert_eq!(faults.calls(Verb::Complete) > 1, is_tried_again, "{kind:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_left_behind_by_a_recorded_body_never_learns_of_a_loss() {
    for end in [Ok(1), Err(Error::new(ErrorKind::Configuration, "declined"))] {
        let (idem, _) = faulty();
        let (sender, context) = oneshot::channel();
        let _ = charge(&idem).run(ended(sender, end)).await;
        assert!(!learns(context.await.unwrap()).await);
    }
}

/// Nor does one whose caller goes away while the end is being written: it is written all the same.
#[tokio::test(start_paused = true)]
async fn a_task_left_behind_by_a_body_that_is_recorded_without_its_caller_never_learns_of_a_loss() {
    let (idem, faults) = faulty();
    faults.next(Verb::Complete, Fault::Delay(LEASE / 3));
    let (sender, context) = oneshot::channel();
    let call = charge(&idem).run(ended(sender, Ok::<_, Error>(1)));
    assert!(timeout(LEASE / 10, call).await.is_err());
    assert!(!learns(context.await.unwrap()).await);
    assert_eq!(charge(&idem).run(async { Ok::<_, Error>(2) }).await.unwrap(), 1);
}

/// There may be many of those in an outage, and nothing has run that others must be kept from.
#[tokio::test(start_paused = true)]
async fn a_claim_without_an_answer_is_not_released_for_as_long_as_its_lease() {
    let (idem, faults) = faulty();
    faults.always(Verb::Claim, Fault::HangAfter);
    faults.always(Verb::Release, Fault::Refuse);
    let call = charge(&idem).lease(LONG).run(async { Ok::<_, Error>(1) });
    assert!(timeout(LEASE, call).await.is_err());
    assert_eq!(idem.in_flight(), 1, "it is being released");
    sleep(LONG / 60).await;
    assert_eq!(idem.in_flight(), 0);
}

/// However long before the keeper has last looked.
#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_when_a_third_of_it_is_over() {
    let (idem, faults) = faulty();
    for since in [0, 35, 70] {
        sleep(Duration::from_millis(since)).await;
        let body = async {
            let before = faults.calls(Verb::Renew);
            sleep(LEASE / 3 + Duration::from_millis(2)).await;
            Ok::<_, Error>(faults.calls(Verb::Renew) - before)
        };
        let renewals = idem.operation("charge").key(format!("after {since}")).run(body).await;
        assert_eq!(renewals.unwrap(), 1, "{since} ms after the last call");
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewal_that_fails_is_tried_again_before_the_lease_is_over() {
    for (fault, times) in [(Fault::Refuse, 4), (Fault::Hang, 1)] {
        let (idem, faults) = faulty();
        (0..times).for_each(|_| faults.next(Verb::Renew, fault));
        let body = async {
            let lost = timeout(LEASE * 3 / 5, current().unwrap().lease_lost()).await;
            // Not all the time, and only once while it is not answered.
            let tried = faults.calls(Verb::Renew);
            assert!((1..=times).contains(&tried), "{fault:?}: {tried} times");
            let lost = lost.or(timeout(LEASE * 3, current().unwrap().lease_lost()).await);
            Ok::<_, Error>(lost.is_ok())
        };
        assert!(!charge(&idem).run(body).await.unwrap(), "{fault:?}");
    }
}

/// The record is gone long before its lease would be over, and the next renewal finds out.
#[tokio::test(start_paused = true)]
async fn a_body_learns_of_its_loss_at_the_next_renewal() {
    let storage = MemoryStorage::new();
    let idem = Idempotency::builder(storage.clone()).lease(LONG).build().unwrap();
    let body = async {
        let context = current().unwrap();
        let key = RecordKey::new("default", None, context.key()).unwrap();
        storage.release(&Release { key, owner: context.owner() }).await.unwrap();
        Ok::<_, Error>(timeout(LONG / 2, context.lease_lost()).await.is_ok())
    };
    assert!(charge(&idem).run(body).await.unwrap());
}

/// The storage has applied the end, and its answer is late: what it says to a renewal meanwhile is that there is nothing to renew.
#[tokio::test(start_paused = true)]
async fn a_renewal_that_meets_the_end_of_its_own_call_is_no_loss() {
    let (idem, faults) = faulty();
    faults.next(Verb::Complete, Fault::DelayReply(LEASE * 2 / 3));
    let (sender, context) = oneshot::channel();
    let call = charge(&idem).run_with_outcome(ended(sender, Ok::<_, Error>(1)));
    let (outcome, lost) = tokio::join!(call, async { learns(context.await.unwrap()).await });
    assert!(!outcome.unwrap().is_replayed());
    assert!(faults.calls(Verb::Renew) > 0, "the two have met");
    assert!(!lost);
}

/// The storage did not take the result, which therefore stays here, and only then says that the lease was lost.
#[tokio::test(start_paused = true)]
async fn a_late_answer_to_a_renewal_does_not_hide_a_result_that_is_here() {
    const LEASE: Duration = Duration::from_secs(30);
    let storage = FaultyStorage::new(MemoryStorage::new());
    let (records, faults) = (storage.inner().clone(), storage.faults().clone());
    let idem = Idempotency::builder(storage).lease(LEASE).build().unwrap();
    faults.always(Verb::Complete, Fault::Refuse);
    // Asked at a third of the lease, answered shortly before two thirds.
    faults.next(Verb::Renew, Fault::DelayReply(LEASE * 3 / 10));
    let body = async {
        let context = current().unwrap();
        let key = RecordKey::new("default", None, context.key()).unwrap();
        records.release(&Release { key, owner: context.owner() }).await.unwrap();
        sleep(LEASE * 2 / 5).await;
        Ok::<_, Error>(1)
    };
    let first = charge(&idem).run_with_outcome(body).await.unwrap();
    assert_eq!((first.value, first.source), (1, Source::Unrecorded));
    assert_eq!((faults.calls(Verb::Renew), idem.in_flight()), (1, 1));
    sleep(LEASE / 3).await;
    assert_eq!(idem.in_flight(), 1, "its end is still being written");
    let again = charge(&idem).run_with_outcome(async { Ok::<_, Error>(2) }).await.unwrap();
    assert_eq!((again.value, faults.calls(Verb::Claim)), (1, 1));
}

/// The storage has applied a claim whose answers are lost, or may have: the caller gives up, and nobody is kept waiting for its lease.
#[tokio::test(start_paused = true)]
async fn a_key_that_was_claimed_in_vain_is_released() {
    for then in [Fault::LoseReply, Fault::Refuse] {
        let (idem, faults) = faulty();
        faults.next(Verb::Claim, Fault::LoseReply);
        faults.always(Verb::Claim, then);
        let error = charge(&idem).run(async { Ok::<_, Error>(1) }).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Storage);
        faults.clear();
        let next = charge(&idem).run(async { Ok::<_, Error>(2) }).await;
        assert_eq!(next.map_err(|error| error.kind()), Ok(2), "{then:?}");
    }
}

/// In an outage there are many of these.
#[tokio::test(start_paused = true)]
async fn a_claim_that_was_refused_each_time_leaves_nothing_to_release() {
    let (idem, faults) = faulty();
    faults.always(Verb::Claim, Fault::Refuse);
    let error = charge(&idem).run(async { Ok::<_, Error>(1) }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Storage);
    assert_eq!((faults.calls(Verb::Release), idem.in_flight()), (0, 0));
}

/// Nor do its duplicates ask again, one after the other.
#[tokio::test(start_paused = true)]
async fn a_claim_that_was_refused_was_refused_for_its_duplicates() {
    let (idem, faults) = faulty();
    faults.always(Verb::Claim, Fault::Refuse);
    let call = || charge(&idem).run(async { Ok::<_, Error>(1) });
    call().await.unwrap_err();
    let claims = faults.calls(Verb::Claim);
    let (first, second) = tokio::join!(call(), call());
    for told in [first, second] {
        assert_eq!(told.map_err(|error| error.kind()), Err(ErrorKind::Storage));
    }
    assert_eq!(faults.calls(Verb::Claim), claims * 2);
}

/// A body has two thirds of its lease before it when it begins: what took longer is asked for again.
#[tokio::test(start_paused = true)]
async fn a_body_begins_with_most_of_its_lease_before_it() {
    let third = u64::try_from(LEASE.as_millis()).unwrap() / 3;
    let renewals = async |claim, renewal| {
        let [claim, renewal] = [claim, renewal].map(Duration::from_millis);
        let (idem, faults) = faulty();
        faults.next(Verb::Claim, Fault::DelayReply(claim));
        faults.next(Verb::Renew, Fault::DelayReply(renewal));
        let body = async { Ok::<_, Error>(faults.calls(Verb::Renew)) };
        charge(&idem).run(body).await.unwrap()
    };
    assert_eq!(renewals(third - 1, 0).await, 0);
    assert_eq!(renewals(third, 0).await, 1);
    assert_eq!(renewals(third, third * 2 - 1).await, 1);
    // The first renewal's answer takes too long as well, the second one's does not.
    assert_eq!(renewals(third, third * 2).await, 2);
}

#[test]
fn a_call_on_a_runtime_without_timers_is_refused_before_its_body() {
    let (idem, faults) = faulty();
    let runtime = Builder::new_current_thread().build().unwrap();
    for _ in 0..2 {
        let error = runtime.block_on(charge(&idem).run(async { Ok::<_, Error>(1) })).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Configuration);
        assert!(error.to_string().contains("enable_time"), "{error}");
    }
    assert_eq!(faults.calls(Verb::Claim), 0);
    let timed = Builder::new_current_thread().enable_time().build().unwrap();
    let call = charge(&idem).run(async { Ok::<_, Error>(1) });
    assert_eq!(timed.block_on(call).unwrap(), 1);
}

/// The claim, its retries with the pauses between them, and the renewal of a lease whose claim was answered late.
#[tokio::test(start_paused = true)]
async fn everything_that_a_storage_does_before_a_body_has_one_limit() {
    const LIMIT: Duration = Duration::from_millis(700);
    for (verb, fault) in [
        (Verb::Claim, Fault::Hang),
        (Verb::Claim, Fault::HangAfter),
        (Verb::Claim, Fault::LoseReply),
        (Verb::Claim, Fault::Refuse),
        (Verb::Renew, Fault::Hang),
    ] {
        let storage = FaultyStorage::new(MemoryStorage::new());
        let faults = storage.faults().clone();
        let builder = Idempotency::builder(storage).lease(LEASE).claim_timeout(LIMIT);
        let idem = builder.build().unwrap();
        faults.always(Verb::Claim, Fault::DelayReply(LEASE / 2));
        faults.always(verb, fault);
        let begun = Instant::now();
        let call = charge(&idem).run_with_outcome(async { Ok::<_, Error>(1) });
        let error = call.await.unwrap_err();
        assert!(begun.elapsed() <= LIMIT, "{verb:?} {fault:?}: {:?}", begun.elapsed());
        assert!(error.to_string().contains("did not answer within 700ms"), "{error}");
        assert_eq!((error.kind(), error.is_retryable()), (ErrorKind::Storage, true));
        // What fails open does so within the same limit.
        let begun = Instant::now();
        let open = idem.operation("charge").key("open").fail_open();
        let outcome = open.run_with_outcome(async { Ok::<_, Error>(1) }).await.unwrap();
        assert_eq!(outcome.source, Source::Unrecorded);
        assert!(begun.elapsed() <= LIMIT, "{verb:?} {fault:?}: {:?}", begun.elapsed());
        faults.clear();
        sleep(LEASE * 2).await;
        let next = charge(&idem).run_with_outcome(async { Ok::<_, Error>(2) }).await.unwrap();
        assert!(matches!(next.source, Source::Executed { .. }), "the first body did not run");
    }
}

/// The effect has happened: its caller gets the value soon, and the write goes on without it.
#[tokio::test(start_paused = true)]
async fn a_storage_that_hangs_after_the_body_does_not_keep_the_caller() {
    let (idem, faults) = faulty();
    faults.next(Verb::Complete, Fault::Hang);
    let begun = Instant::now();
    let call = charge(&idem).lease(LONG).run_with_outcome(async { Ok::<_, Error>(1) });
    let outcome = call.await.unwrap();
    assert_eq!((outcome.value, outcome.source), (1, Source::Unrecorded));
    assert_eq!(begun.elapsed(), Duration::from_secs(5));
    sleep(Duration::from_secs(1)).await;
    assert_eq!((idem.in_flight(), faults.calls(Verb::Complete)), (0, 2), "it is written");
}

/// A duplicate in the same process learns nothing from a claim that has no answer. It waits for as long as one may take, and then claims for
/// itself.
#[tokio::test(start_paused = true)]
async fn a_duplicate_of_a_call_that_stands_still_claims_for_itself() {
    for wait in [0, 2, 20].map(Duration::from_secs) {
        let (idem, faults) = faulty();
        faults.next(Verb::Claim, Fault::Hang);
        // Polled once, like a call on a runtime that stands still then.
        let mut first = Box::pin(charge(&idem).run_with_outcome(async { Ok::<_, Error>(1) }));
        assert!((&mut first).now_or_never().is_none());
        let begun = Instant::now();
        let second =
            charge(&idem).wait(wait).run_with_outcome(async { Ok::<_, Error>(2) }).await.unwrap();
        assert_eq!((second.value, second.is_replayed()), (2, false));
        assert_eq!(begun.elapsed().as_secs(), 4);
    }
}
