//! Sends verbs one by one while there are few, and many at once as one statement and one commit.
//!
//! A durable commit waits for the disk, and a statement for the network: at many callers these waits are the cost of a call. So verbs that
//! come while a statement is under way queue up, and whatever has queued goes as one multi-row statement. A verb never waits for company that
//! may not come: once verbs have come one at a time for a while it goes at once, and else after the tasks that can run at this moment.
//!
//! | what could go wrong in a batch | what is done |
//! |---|---|
//! | two verbs of one key | the second waits for the next batch: one statement changes a row once |
//! | two batches lock each other's rows | batches are sorted by key; what the database still breaks up is sent again |
//! | the database refuses a value of one verb | nothing of its statement was applied, and each verb of that goes by itself |
//! | a row changed under the statement | the verbs of such rows go again, a bounded number of times |
//! | a row is locked by an open transaction | the batch waits for it a moment on its connection, and those that come later go by another; then each verb goes by itself |
//! | a caller goes away | once sent its verb goes on: the batch is sent by a task of its own |
//! | a caller's runtime stands still, or ends | nothing: batches are sent on the [driver](crate::driver) |
//! | the answer is lost | every verb of the batch is told that it may have been applied |

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use hashbrown::HashSet;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tokio::task::yield_now;
use tokio::time::timeout;

use super::answers::{Answer, Answers};
use super::fault::{Fault, Then};
use crate::driver;
use crate::key::RecordKey;
use crate::storage::transition::Transition;
use crate::storage::{Claim, Complete, Release, Renew, StorageError, StorageErrorKind};

/// Most verbs of a statement, so that the first of them is not kept waiting by the last.
pub(super) const LONGEST: usize = 256;

/// A verb on one record.
pub(super) trait Verb:
    Transition<Reply: Send + 'static> + Clone + Send + Sync + 'static
{
    fn key(&self) -> &RecordKey;
}

macro_rules! verbs {
    ($($verb:ty),*) => {
        $(impl Verb for $verb {
            fn key(&self) -> &RecordKey {
                &self.key
            }
        })*
    };
}

verbs!(Claim, Renew, Complete, Release);

/// A statement that takes longer waits for something, such as the lock of an open transaction: the others no longer wait for it.
const STALLED: Duration = Duration::from_millis(100);

/// After so many batches of one verb in a row they come one at a time.
const SPARSE: u32 = 16;

/// What runs batches of `V`.
pub(super) trait Runs<V: Verb>: Send + Sync + 'static {
    /// Runs one batch. The keys are distinct and sorted; there is one answer for each verb, in their order. An error means the same for all of
    /// them: one that says that nothing changed does so for each.
    fn run(&self, batch: &[V]) -> impl Future<Output = Result<Answers<V>, Fault>> + Send;
}

type Reply<V> = Result<<V as Transition>::Reply, StorageError>;

/// The verbs of one kind that are on their way to the database.
pub(super) struct Group<V: Verb> {
    queue: Arc<Mutex<Queue<V>>>,
    /// How long a caller waits for an answer.
    limit: Duration,
}

struct Queue<V: Verb> {
    waiting: Vec<Waiting<V>>,
    /// Batches of one verb since the last that had more.
    singles: u32,
    /// Tasks that are sending what is waiting.
    lanes: usize,
    most_lanes: usize,
}

struct Waiting<V: Verb> {
    verb: V,
    caller: oneshot::Sender<Reply<V>>,
}

impl<V: Verb> Group<V> {
    /// A group that has at most `lanes` statements under way at once.
    pub(super) fn new(lanes: usize, limit: Duration) -> Self {
        let queue = Queue { waiting: Vec::new(), singles: SPARSE, lanes: 0, most_lanes: lanes };
        Self { queue: Arc::new(Mutex::new(queue)), limit }
    }

    /// Sends a verb.
    pub(super) async fn send<B: Runs<V>>(&self, backend: &Arc<B>, verb: V) -> Reply<V> {
        let replied = self.enqueue([verb]);
        start(&self.queue, backend);
        self.answer(replied.into_iter().next()).await
    }

    /// Sends verbs, and gives an answer for each.
    pub(super) async fn send_all<B: Runs<V>>(
        &self,
        backend: &Arc<B>,
        verbs: impl IntoIterator<Item = V>,
    ) -> Vec<Reply<V>> {
        let replies = self.enqueue(verbs);
        start(&self.queue, backend);
        let mut answers = Vec::with_capacity(replies.len());
        for replied in replies {
            answers.push(self.answer(Some(replied)).await);
        }
        answers
    }

    fn enqueue(&self, verbs: impl IntoIterator<Item = V>) -> Vec<oneshot::Receiver<Reply<V>>> {
        let mut queue = self.queue.lock();
        let verbs = verbs.into_iter().map(|verb| {
            let (caller, replied) = oneshot::channel();
            queue.waiting.push(Waiting { verb, caller });
            replied
        });
        verbs.collect()
    }

    /// What a caller hears, on its own runtime.
    async fn answer(&self, replied: Option<oneshot::Receiver<Reply<V>>>) -> Reply<V> {
        let unanswered = || {
            let message = "the database did not answer in time";
            Err(StorageError::new(StorageErrorKind::Indeterminate, message))
        };
        let Some(replied) = replied else { return unanswered() };
        let replied = timeout(self.limit, replied).await;
        replied.ok().and_then(Result::ok).unwrap_or_else(unanswered)
    }
}

/// Starts a lane where one is missing.
fn start<V: Verb, B: Runs<V>>(shared: &Arc<Mutex<Queue<V>>>, backend: &Arc<B>) {
    let mut queue = shared.lock();
    if queue.lanes < queue.most_lanes && !queue.waiting.is_empty() {
        queue.lanes += 1;
        drop(queue);
        let lane = Lane { queue: Arc::clone(shared), ended: false };
        driver::spawn(lane.run(Arc::clone(backend)));
    }
}

/// One of the tasks that send what is waiting.
struct Lane<V: Verb> {
    queue: Arc<Mutex<Queue<V>>>,
    ended: bool,
}

impl<V: Verb> Lane<V> {
    async fn run<B: Runs<V>>(mut self, backend: Arc<B>) {
        if self.is_busy() {
            // Those who were woken together by another batch all get to ask before this one goes.
            yield_now().await;
        }
        loop {
            let Some(batch) = self.take() else { return };
            let mut sending = pin!(send_batch(&*backend, batch));
            if timeout(STALLED, &mut sending).await.is_err() {
                self.hand_over(&backend);
                return sending.await;
            }
            // Likewise those whom this one woke.
            yield_now().await;
        }
    }

    /// Whether verbs have come together lately.
    fn is_busy(&self) -> bool {
        self.queue.lock().singles < SPARSE
    }

    /// Lets another lane send what is waiting.
    fn hand_over<B: Runs<V>>(&mut self, backend: &Arc<B>) {
        self.queue.lock().lanes -= 1;
        self.ended = true;
        start(&self.queue, backend);
    }

    /// What has queued: up to a statement's length, sorted, and of verbs for one key the first. `None` ends this lane.
    fn take(&mut self) -> Option<Vec<Waiting<V>>> {
        let mut queue = self.queue.lock();
        // Nobody wants what these ask for, and none of it has been sent.
        queue.waiting.retain(|waiting| !waiting.caller.is_closed());
        if queue.waiting.is_empty() {
            // Under the same lock, so that whatever queues next starts a lane.
            queue.lanes -= 1;
            self.ended = true;
            return None;
        }
        if queue.waiting.len() == 1 {
            queue.singles = queue.singles.saturating_add(1);
            return Some(std::mem::take(&mut queue.waiting));
        }
        queue.singles = 0;
        let mut keys = HashSet::with_capacity(queue.waiting.len().min(LONGEST));
        let mut batch: Vec<_> = queue
            .waiting
            .extract_if(.., |waiting| {
                keys.len() < LONGEST && keys.insert(waiting.verb.key().clone())
            })
            .collect();
        drop(queue);
        batch.sort_unstable_by(|one, other| one.verb.key().cmp(other.verb.key()));
        Some(batch)
    }
}

impl<V: Verb> Drop for Lane<V> {
    /// A lane that panics takes its place with it, and those who wait for it.
    fn drop(&mut self) {
        if !self.ended {
            let mut queue = self.queue.lock();
            queue.lanes -= 1;
            let abandoned = std::mem::take(&mut queue.waiting);
            drop(queue);
            drop(abandoned);
        }
    }
}

/// Sends a batch until each of its callers has an answer.
async fn send_batch<V: Verb, B: Runs<V>>(backend: &B, batch: Vec<Waiting<V>>) {
    let (mut verbs, mut callers): (Vec<V>, Vec<_>) =
        batch.into_iter().map(|Waiting { verb, caller }| (verb, caller)).unzip();
    let mut pauses = pauses();
    loop {
        match backend.run(&verbs).await {
            Ok(answers) => {
                let mut again = (Vec::new(), Vec::new());
                let mut why = None;
                let mut alone = Vec::new();
                for ((verb, caller), answer) in verbs.into_iter().zip(callers).zip(answers) {
                    match answer {
                        // A caller that has gone away does not want it.
                        Answer::Settled(reply) => drop(caller.send(reply)),
                        Answer::Stale | Answer::Again(_) => {
                            if let Answer::Again(error) = answer {
                                why = Some(error);
                            }
                            again.0.push(verb);
                            again.1.push(caller);
                        }
                        Answer::Alone => alone.push(Waiting { verb, caller }),
                    }
                }
                send_singly(backend, alone).await;
                (verbs, callers) = again;
                if verbs.is_empty() {
                    return;
                }
                if pauses.next().is_none() {
                    return refuse(callers, &why.unwrap_or_else(ever_changing));
                }
                // Whoever changed the row has committed: there is nothing to wait for.
            }
            Err(Fault { then: Then::Again, error }) => match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return refuse(callers, &error),
            },
            Err(Fault { then: Then::Split | Then::Locked, .. }) if verbs.len() > 1 => {
                let batch = verbs.into_iter().zip(callers);
                let batch = batch.map(|(verb, caller)| Waiting { verb, caller });
                return send_singly(backend, batch.collect()).await;
            }
            Err(Fault { error, .. }) => return refuse(callers, &error),
        }
    }
}

async fn send_singly<V: Verb, B: Runs<V>>(backend: &B, batch: Vec<Waiting<V>>) {
    for waiting in batch {
        // Nothing of it was applied, and what nobody wants any more need not be.
        if !waiting.caller.is_closed() {
            Box::pin(send_batch(backend, vec![waiting])).await;
        }
    }
}

fn ever_changing() -> StorageError {
    let message = "the record changed whenever it was looked at";
    StorageError::new(StorageErrorKind::NotApplied, message)
}

fn refuse<T>(callers: Vec<oneshot::Sender<Result<T, StorageError>>>, error: &StorageError) {
    for caller in callers {
        let _ = caller.send(Err(error.clone()));
    }
}

/// Pauses between attempts at a batch that lost against others.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(1))
        .with_max_delay(Duration::from_millis(50))
        .with_max_times(12)
        .with_jitter()
        .build()
}

impl<V: Verb> std::fmt::Debug for Group<V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let queue = self.queue.lock();
        f.debug_struct("Group")
            .field("waiting", &queue.waiting.len())
            .field("lanes", &queue.lanes)
            .finish_non_exhaustive()
    }
}
