//! Batches the requests of concurrent callers, where a batch costs less than single requests.
//!
//! A request that arrives while another is in flight waits in a queue. A lane is a task that sends
//! the queue batch by batch, and ends when the queue is empty. No request waits for a batch to
//! fill.
//!
//! | event | effect |
//! |---|---|
//! | the caller is dropped before its request is sent | the request is not sent |
//! | the caller is dropped later | the request goes on; its reply is discarded |
//! | the caller's limit passes | the request is withdrawn if it is still in the queue |
//! | a lane is dropped with its runtime, or panics | the queue is abandoned, and each of its callers gets [`Unanswered::Abandoned`]; the next request starts a lane |
//! | a batch stalls | another lane sends the later requests, where the storage allows that |

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

/// Most requests of a batch, so that the first of them does not wait long for the last.
pub(super) const MAX_BATCH: usize = 256;

/// Executes the batches of a [`Batcher`].
pub(super) trait BatchExecutor: Sized + Send + Sync + 'static {
    type Request: Send + 'static;
    type Reply: Send + 'static;

    /// Spawns a lane on the runtime that sends batches.
    fn spawn(&self, lane: impl Future<Output = ()> + Send + 'static);

    /// Takes the next batch out of the queue. Only an empty queue gives an empty batch.
    fn take_batch(queue: &mut Vec<Pending<Self>>) -> Vec<Pending<Self>> {
        queue.drain(..queue.len().min(MAX_BATCH)).collect()
    }

    /// Executes a batch and sends each caller its reply.
    fn execute(&self, batch: Vec<Pending<Self>>) -> impl Future<Output = ()> + Send;
}

/// When a batch is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Most lanes, and so most batches under way, while none stalls.
    pub(super) lanes: usize,
    /// After this many batches of one request in a row, a new lane sends its first batch without
    /// first yielding to the tasks that are ready to run. `None`: a new lane always yields.
    pub(super) sparse_after: Option<u32>,
    /// A batch that takes longer gives up its lane, so that later requests do not wait for it.
    pub(super) stalled_after: Option<Duration>,
}

/// A request in the queue or in a batch.
pub(super) struct Pending<E: BatchExecutor> {
    number: u64,
    pub(super) request: E::Request,
    pub(super) caller: oneshot::Sender<E::Reply>,
}

/// Why a request has no reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unanswered {
    /// The caller's limit passed, and the request was not sent.
    Withdrawn,
    /// The caller's limit passed after the request was sent.
    Late,
    /// The lane was dropped. The request may have been sent.
    Abandoned,
}

/// A queue of requests and the lanes that send it.
pub(super) struct Batcher<E: BatchExecutor>(Arc<BatcherCore<E>>);

struct BatcherCore<E: BatchExecutor> {
    executor: E,
    pace: Pace,
    state: Mutex<BatchQueue<E>>,
}

struct BatchQueue<E: BatchExecutor> {
    /// In the order of their numbers.
    queue: Vec<Pending<E>>,
    next_number: u64,
    /// Batches of one request since the last larger one.
    consecutive_singles: u32,
    lanes: usize,
    #[cfg(feature = "redis")]
    has_lone_request: bool,
}

/// The caller's side of a queued request.
struct Ticket<E: BatchExecutor> {
    number: u64,
    reply: oneshot::Receiver<E::Reply>,
}

impl<E: BatchExecutor> Batcher<E> {
    pub(super) fn new(executor: E, pace: Pace) -> Self {
        let state = BatchQueue {
            queue: Vec::new(),
            next_number: 0,
            consecutive_singles: pace.sparse_after.unwrap_or(0),
            lanes: 0,
            #[cfg(feature = "redis")]
            has_lone_request: false,
        };
        Self(Arc::new(BatcherCore { executor, pace, state: Mutex::new(state) }))
    }

    /// Queues a request, and waits for its reply for at most `limit`.
    pub(super) async fn submit(
        &self,
        request: E::Request,
        limit: Duration,
    ) -> Result<E::Reply, Unanswered> {
        let (ticket, needs_lane) = {
            let mut state = self.0.state.lock();
            (state.enqueue(request), state.open_lane(self.0.pace))
        };
        if needs_lane {
            self.start_lane();
        }
        self.wait(ticket, limit).await
    }

    /// Queues requests at once, and waits for the reply to each for at most `limit`.
    #[cfg(feature = "_sql")]
    pub(super) async fn submit_all(
        &self,
        requests: impl IntoIterator<Item = E::Request>,
        limit: Duration,
    ) -> Vec<Result<E::Reply, Unanswered>> {
        let (tickets, needs_lane) = {
            let mut state = self.0.state.lock();
            let tickets: Vec<_> =
                requests.into_iter().map(|request| state.enqueue(request)).collect();
            (tickets, state.open_lane(self.0.pace))
        };
        if needs_lane {
            self.start_lane();
        }
        let mut replies = Vec::with_capacity(tickets.len());
        for ticket in tickets {
            replies.push(self.wait(ticket, limit).await);
        }
        replies
    }

    async fn wait(&self, ticket: Ticket<E>, limit: Duration) -> Result<E::Reply, Unanswered> {
        let Ticket { number, mut reply } = ticket;
        match timeout(limit, &mut reply).await {
            Ok(reply) => reply.map_err(|_| Unanswered::Abandoned),
            Err(_) if self.0.state.lock().withdraw(number) => Err(Unanswered::Withdrawn),
            Err(_) => reply.try_recv().map_err(|_| Unanswered::Late),
        }
    }

    fn start_lane(&self) {
        let lane = Lane { inner: Arc::clone(&self.0), is_closed: false };
        self.0.executor.spawn(lane.run());
    }
}

impl<E: BatchExecutor> Clone for Batcher<E> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<E: BatchExecutor> BatchQueue<E> {
    fn enqueue(&mut self, request: E::Request) -> Ticket<E> {
        let number = self.next_number;
        self.next_number += 1;
        let (caller, reply) = oneshot::channel();
        self.queue.push(Pending { number, request, caller });
        Ticket { number, reply }
    }

    /// Counts one more lane; false where the queue needs none.
    fn open_lane(&mut self, pace: Pace) -> bool {
        let needs_lane = self.lanes < pace.lanes && !self.queue.is_empty();
        self.lanes += usize::from(needs_lane);
        needs_lane
    }

    /// Removes a request from the queue; false where it is not there any more.
    fn withdraw(&mut self, number: u64) -> bool {
        let place = self.queue.binary_search_by_key(&number, |pending| pending.number);
        place.map(|place| self.queue.remove(place)).is_ok()
    }
}

/// A task that sends the queue.
struct Lane<E: BatchExecutor> {
    inner: Arc<BatcherCore<E>>,
    /// Whether [`BatchQueue::lanes`] no longer counts it.
    is_closed: bool,
}

impl<E: BatchExecutor> Lane<E> {
    async fn run(mut self) {
        if !self.is_sparse() {
            // Callers that another lane's last batch woke are about to send their next requests.
            // Yielding lets these join the first batch.
            yield_now().await;
        }
        while let Some(batch) = self.next_batch() {
            let inner = Arc::clone(&self.inner);
            let mut executing = pin!(inner.executor.execute(batch));
            match inner.pace.stalled_after {
                Some(limit) if timeout(limit, &mut executing).await.is_err() => {
                    self.hand_over();
                    return executing.await;
                }
                Some(_) => {}
                None => executing.await,
            }
            // As above, for the callers that this batch woke.
            yield_now().await;
        }
    }

    /// Whether requests have come one at a time lately.
    fn is_sparse(&self) -> bool {
        let sparse_after = self.inner.pace.sparse_after;
        sparse_after.is_some_and(|count| self.inner.state.lock().consecutive_singles >= count)
    }

    /// Takes the next batch; `None` closes this lane.
    fn next_batch(&mut self) -> Option<Vec<Pending<E>>> {
        let mut state = self.inner.state.lock();
        let batch = E::take_batch(&mut state.queue);
        if batch.is_empty() {
            // Under the lock that found the queue empty, so that the next request starts a lane.
            state.lanes -= 1;
            self.is_closed = true;
            return None;
        }
        let is_single = batch.len() == 1 && state.queue.is_empty();
        state.consecutive_singles =
            if is_single { state.consecutive_singles.saturating_add(1) } else { 0 };
        Some(batch)
    }

    /// Closes this lane, and starts another one for what is in the queue.
    fn hand_over(&mut self) {
        let needs_lane = {
            let mut state = self.inner.state.lock();
            state.lanes -= 1;
            state.open_lane(self.inner.pace)
        };
        self.is_closed = true;
        if needs_lane {
            Batcher(Arc::clone(&self.inner)).start_lane();
        }
    }
}

impl<E: BatchExecutor> Drop for Lane<E> {
    /// A lane that panics, or that is dropped with its runtime, abandons the queue: nothing else
    /// may come to send it.
    fn drop(&mut self) {
        if !self.is_closed {
            let mut state = self.inner.state.lock();
            state.lanes -= 1;
            let abandoned = std::mem::take(&mut state.queue);
            drop(state);
            drop(abandoned);
        }
    }
}

/// A request that its caller sends by itself. While it lives, other requests queue.
#[cfg(feature = "redis")]
pub(super) struct LoneRequest<'a, E: BatchExecutor>(&'a Batcher<E>);

#[cfg(feature = "redis")]
impl<E: BatchExecutor> Batcher<E> {
    pub(super) fn executor(&self) -> &E {
        &self.0.executor
    }

    /// Lets the caller send its request by itself; `None` where another request is under way.
    pub(super) fn enter_alone(&self) -> Option<LoneRequest<'_, E>> {
        let mut state = self.0.state.lock();
        if state.has_lone_request || state.lanes > 0 {
            return None;
        }
        state.has_lone_request = true;
        Some(LoneRequest(self))
    }
}

#[cfg(feature = "redis")]
impl<E: BatchExecutor> Drop for LoneRequest<'_, E> {
    fn drop(&mut self) {
        self.0.0.state.lock().has_lone_request = false;
    }
}

#[cfg(test)]
mod tests;
