use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::sync::{Notify, Semaphore};

use super::*;

const LIMIT: Duration = Duration::from_secs(1);

/// The request at which [`Doubles`] panics.
const PANICS: u32 = 13;

const ONE_LANE: Pace = Pace { lanes: 1, sparse_after: None, stalled_after: None };

/// Replies with the double of each request. A batch needs a permit of the gate.
struct Doubles {
    home: Mutex<Handle>,
    gate: Semaphore,
    batches: Mutex<Vec<Vec<u32>>>,
    has_batch: Notify,
}

impl BatchExecutor for Doubles {
    type Request = u32;
    type Reply = u32;

    fn spawn(&self, lane: impl Future<Output = ()> + Send + 'static) {
        self.home.lock().spawn(lane);
    }

    async fn execute(&self, batch: Vec<Pending<Self>>) {
        self.batches.lock().push(batch.iter().map(|pending| pending.request).collect());
        self.has_batch.notify_one();
        self.gate.acquire().await.expect("the gate is never closed").forget();
        for Pending { request, caller, .. } in batch {
            assert_ne!(request, PANICS);
            let _ = caller.send(request * 2);
        }
    }
}

fn on(home: Handle, pace: Pace, permits: usize) -> Batcher<Doubles> {
    let (gate, batches) = (Semaphore::new(permits), Mutex::default());
    let executor = Doubles { home: Mutex::new(home), gate, batches, has_batch: Notify::new() };
    Batcher::new(executor, pace)
}

/// A batcher that is not held up.
fn open(pace: Pace) -> Batcher<Doubles> {
    on(Handle::current(), pace, Semaphore::MAX_PERMITS)
}

/// A batcher whose first batch has been sent and waits at the gate, and the caller of that batch.
async fn held_up(
    pace: Pace,
    request: u32,
) -> (Batcher<Doubles>, tokio::task::JoinHandle<Result<u32, Unanswered>>) {
    let batcher = on(Handle::current(), pace, 0);
    let first = submit(&batcher, request, LIMIT);
    batcher.0.executor.has_batch.notified().await;
    (batcher, first)
}

fn submit(
    batcher: &Batcher<Doubles>,
    request: u32,
    limit: Duration,
) -> tokio::task::JoinHandle<Result<u32, Unanswered>> {
    let batcher = batcher.clone();
    tokio::spawn(async move { batcher.submit(request, limit).await })
}

async fn settle() {
    for _ in 0..8 {
        yield_now().await;
    }
}

impl Batcher<Doubles> {
    fn batches(&self) -> Vec<Vec<u32>> {
        self.0.executor.batches.lock().clone()
    }

    fn open_gate(&self) {
        self.0.executor.gate.add_permits(Semaphore::MAX_PERMITS / 2);
    }

    fn lanes(&self) -> usize {
        self.0.state.lock().lanes
    }
}

#[tokio::test(start_paused = true)]
async fn requests_that_arrive_during_a_batch_go_as_one_batch_in_their_order() {
    let (batcher, first) = held_up(ONE_LANE, 1).await;
    let others: Vec<_> = (2..6).map(|request| submit(&batcher, request, LIMIT)).collect();
    settle().await;
    batcher.open_gate();
    assert_eq!(first.await.unwrap(), Ok(2));
    let replies = join_all(others).await.into_iter().map(|reply| reply.unwrap().unwrap());
    assert_eq!(replies.collect::<Vec<_>>(), [4, 6, 8, 10]);
    assert_eq!(batcher.batches(), [vec![1], vec![2, 3, 4, 5]]);
    settle().await;
    assert_eq!(batcher.lanes(), 0, "a lane ends with the queue");
}

#[tokio::test(start_paused = true)]
async fn a_batch_has_an_upper_limit() {
    let (batcher, first) = held_up(ONE_LANE, 0).await;
    let most = u32::try_from(MAX_BATCH).unwrap();
    let others: Vec<_> =
        (100..=100 + most).map(|request| submit(&batcher, request, LIMIT)).collect();
    settle().await;
    batcher.open_gate();
    first.await.unwrap().unwrap();
    join_all(others).await;
    let sizes: Vec<_> = batcher.batches().iter().map(Vec::len).collect();
    assert_eq!(sizes, [1, MAX_BATCH, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_queued_request_is_withdrawn_at_its_callers_limit_and_a_sent_one_is_late() {
    let (batcher, first) = held_up(ONE_LANE, 1).await;
    let (second, third) = (submit(&batcher, 2, LIMIT / 2), submit(&batcher, 3, LIMIT * 2));
    assert_eq!(second.await.unwrap(), Err(Unanswered::Withdrawn));
    assert_eq!(first.await.unwrap(), Err(Unanswered::Late));
    batcher.open_gate();
    assert_eq!(third.await.unwrap(), Ok(6));
    assert_eq!(batcher.batches(), [[1], [3]]);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_caller_disturbs_nobody() {
    let (batcher, first) = held_up(ONE_LANE, 1).await;
    let (second, third) = (submit(&batcher, 2, LIMIT), submit(&batcher, 3, LIMIT));
    settle().await;
    first.abort();
    second.abort();
    settle().await;
    batcher.open_gate();
    assert_eq!(third.await.unwrap(), Ok(6));
}

#[tokio::test(start_paused = true)]
async fn no_more_batches_are_under_way_than_lanes() {
    let (batcher, _first) = held_up(Pace { lanes: 2, ..ONE_LANE }, 1).await;
    let second = submit(&batcher, 2, LIMIT);
    settle().await;
    let third = submit(&batcher, 3, LIMIT);
    settle().await;
    assert_eq!(batcher.batches(), [[1], [2]]);
    batcher.open_gate();
    assert_eq!((second.await.unwrap(), third.await.unwrap()), (Ok(4), Ok(6)));
}

#[tokio::test(start_paused = true)]
async fn a_stalled_batch_does_not_hold_up_later_requests() {
    let pace = Pace { stalled_after: Some(LIMIT / 10), ..ONE_LANE };
    let (batcher, first) = held_up(pace, 1).await;
    let second = submit(&batcher, 2, LIMIT);
    tokio::time::sleep(LIMIT / 5).await;
    assert_eq!(batcher.batches(), [[1], [2]]);
    batcher.open_gate();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (Ok(2), Ok(4)));
    settle().await;
    assert_eq!(batcher.lanes(), 0);
    assert_eq!(batcher.submit(3, LIMIT).await, Ok(6));
}

#[tokio::test(start_paused = true)]
async fn a_sparse_lane_waits_for_no_company_and_a_busy_one_for_tasks_that_are_ready() {
    let batches = async |sparse_after| {
        let batcher = open(Pace { sparse_after, ..ONE_LANE });
        let mut first = pin!(batcher.submit(1, LIMIT));
        assert!(first.as_mut().now_or_never().is_none());
        let second = submit(&batcher, 2, LIMIT);
        let (first, second) = join(first, second).await;
        assert_eq!((first, second.unwrap()), (Ok(2), Ok(4)));
        batcher.batches()
    };
    assert_eq!(batches(Some(4)).await, [vec![1], vec![2]]);
    assert_eq!(batches(None).await, [vec![1, 2]]);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_panics_abandons_the_queue_and_the_next_request_starts_another() {
    let (batcher, first) = held_up(ONE_LANE, PANICS).await;
    let second = submit(&batcher, 2, LIMIT);
    settle().await;
    batcher.open_gate();
    assert_eq!(first.await.unwrap(), Err(Unanswered::Abandoned));
    assert_eq!(second.await.unwrap(), Err(Unanswered::Abandoned));
    assert_eq!(batcher.submit(3, LIMIT).await, Ok(6));
}

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

#[tokio::test]
async fn a_lane_that_ends_with_its_runtime_abandons_the_queue() {
    let home = runtime();
    let batcher = on(home.handle().clone(), ONE_LANE, 0);
    // No limit of a caller's is to come first.
    let limit = Duration::from_secs(60);
    let first = submit(&batcher, 1, limit);
    batcher.0.executor.has_batch.notified().await;
    let second = submit(&batcher, 2, limit);
    settle().await;
    home.shutdown_background();
    assert_eq!(first.await.unwrap(), Err(Unanswered::Abandoned));
    assert_eq!(second.await.unwrap(), Err(Unanswered::Abandoned));
    *batcher.0.executor.home.lock() = Handle::current();
    batcher.open_gate();
    assert_eq!(batcher.submit(3, limit).await, Ok(6));
}

/// Lanes end and start all the time here, on other threads than their callers.
#[test]
fn no_request_is_forgotten_when_a_lane_ends() {
    let (home, callers) = (runtime(), runtime());
    let batcher = on(home.handle().clone(), ONE_LANE, Semaphore::MAX_PERMITS);
    callers.block_on(async {
        let caller = |caller: u32| {
            let batcher = batcher.clone();
            tokio::spawn(async move {
                for request in (1000..2000).map(|request| request * 8 + caller) {
                    let reply = batcher.submit(request, Duration::from_secs(60)).await;
                    assert_eq!(reply, Ok(request * 2));
                }
            })
        };
        for done in join_all((0..4).map(caller)).await {
            done.unwrap();
        }
    });
}

#[cfg(feature = "_sql")]
#[tokio::test(start_paused = true)]
async fn requests_that_are_submitted_together_go_together() {
    let batcher = open(Pace { sparse_after: Some(4), ..ONE_LANE });
    let replies = batcher.submit_all([1, 2, 3], LIMIT).await;
    assert_eq!(replies, [Ok(2), Ok(4), Ok(6)]);
    assert_eq!(batcher.batches(), [[1, 2, 3]]);
    assert!(batcher.submit_all([], LIMIT).await.is_empty());
    settle().await;
    assert_eq!((batcher.batches().len(), batcher.lanes()), (1, 0), "no request is no batch");
}

#[cfg(feature = "redis")]
#[tokio::test(start_paused = true)]
async fn one_request_at_a_time_passes_the_queue_by_and_none_while_a_batch_is_under_way() {
    let (batcher, first) = held_up(ONE_LANE, 1).await;
    assert!(batcher.enter_alone().is_none());
    batcher.open_gate();
    first.await.unwrap().unwrap();
    settle().await;
    let lone = batcher.enter_alone();
    assert!(lone.is_some() && batcher.enter_alone().is_none());
    drop(lone);
    assert!(batcher.enter_alone().is_some());
}
