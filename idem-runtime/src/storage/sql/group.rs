//! Sends verbs one by one while there are few, and many at once as one statement and one commit.
//!
//! A durable commit waits for the disk, and a statement for the network. With many callers these
//! waits are the cost of a call, so verbs that arrive while a statement is running wait in a
//! [`Batcher`] and go as one multi-row statement. Batches run on the [driver](crate::driver), where
//! no runtime of the application can hold them up.
//!
//! | in a batch | then |
//! |---|---|
//! | two verbs of one key | the second waits for the next batch: one statement changes a row once |
//! | two batches lock each other's rows | batches are sorted by key; a batch that the database still aborts is sent again |
//! | the database refuses a value of one verb | the statement had no effect; each of its verbs is sent by itself |
//! | a row changed under the statement | the verbs of such rows are sent again, a bounded number of times |
//! | a row is locked by an open transaction | after 100 ms, later verbs go over another connection; if the lock does not end soon, each verb of the batch is sent by itself |
//! | the reply is lost | each caller of the batch gets an error that says that its verb may have been applied |

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBuilder};
use hashbrown::HashSet;
use tokio::sync::oneshot;

use super::answers::{VerbAnswer, VerbAnswers};
use super::statement_error::{Rerun, StatementError};
use super::verb::KeyedVerb;
use crate::driver;
use crate::storage::batch::{BatchExecutor, Batcher, MAX_BATCH, Pace, Pending, Unanswered};
use crate::storage::transition::Transition;
use crate::storage::{StorageError, StorageErrorKind};

/// A statement that takes longer is blocked, such as by the lock of an open transaction.
const STALLED: Duration = Duration::from_millis(100);

/// After this many single-verb batches in a row, verbs arrive one at a time.
const SPARSE: u32 = 16;

/// Runs batches of `V`.
pub(crate) trait RunsBatch<V: KeyedVerb>: Send + Sync + 'static {
    /// Runs one batch, whose keys are distinct and sorted. There is one answer for each verb, in
    /// order. An error applies to all of them.
    fn run(
        &self,
        batch: &[V],
    ) -> impl Future<Output = Result<VerbAnswers<V>, StatementError>> + Send;
}

type VerbReply<V> = Result<<V as Transition>::Reply, StorageError>;

type ReplySender<V> = oneshot::Sender<VerbReply<V>>;

/// Queues the verbs of one kind, and sends them to the database in batches.
pub(super) struct VerbBatcher<V: KeyedVerb, B: RunsBatch<V>> {
    batcher: Batcher<StatementExecutor<V, B>>,
    /// How long a caller waits for its answer.
    limit: Duration,
}

/// Sends batches as statements.
struct StatementExecutor<V, B> {
    backend: Arc<B>,
    verbs: PhantomData<fn(V)>,
}

impl<V: KeyedVerb, B: RunsBatch<V>> VerbBatcher<V, B> {
    /// At most `lanes` statements are in flight at once.
    pub(super) fn new(backend: &Arc<B>, lanes: usize, limit: Duration) -> Self {
        let statements = StatementExecutor { backend: Arc::clone(backend), verbs: PhantomData };
        let pace = Pace { lanes, sparse_after: Some(SPARSE), stalled_after: Some(STALLED) };
        Self { batcher: Batcher::new(statements, pace), limit }
    }

    /// Sends a verb.
    pub(super) async fn send(&self, verb: V) -> VerbReply<V> {
        self.batcher.submit(verb, self.limit).await.unwrap_or_else(no_answer)
    }

    /// Sends verbs, and gives an answer for each.
    pub(super) async fn send_all(&self, verbs: impl IntoIterator<Item = V>) -> Vec<VerbReply<V>> {
        let answers = self.batcher.submit_all(verbs, self.limit).await;
        answers.into_iter().map(|answer| answer.unwrap_or_else(no_answer)).collect()
    }
}

fn no_answer<T>(unanswered: Unanswered) -> Result<T, StorageError> {
    let (kind, message) = match unanswered {
        Unanswered::Withdrawn => {
            (StorageErrorKind::NotApplied, "the database is busy: the request was not sent in time")
        }
        Unanswered::Late | Unanswered::Abandoned => {
            (StorageErrorKind::Indeterminate, "the database did not answer in time")
        }
    };
    Err(StorageError::new(kind, message))
}

impl<V: KeyedVerb, B: RunsBatch<V>> BatchExecutor for StatementExecutor<V, B> {
    type Request = V;
    type Reply = VerbReply<V>;

    fn spawn(&self, lane: impl Future<Output = ()> + Send + 'static) {
        driver::spawn(lane);
    }

    /// Takes the first verb of each key. Drops verbs whose callers were dropped.
    fn take_batch(queue: &mut Vec<Pending<Self>>) -> Vec<Pending<Self>> {
        queue.retain(|pending| !pending.caller.is_closed());
        if queue.len() <= 1 {
            return std::mem::take(queue);
        }
        let mut keys = HashSet::with_capacity(queue.len().min(MAX_BATCH));
        let fits = |pending: &mut Pending<Self>| {
            keys.len() < MAX_BATCH && keys.insert(pending.request.key().clone())
        };
        queue.extract_if(.., fits).collect()
    }

    async fn execute(&self, mut batch: Vec<Pending<Self>>) {
        batch.sort_unstable_by(|one, other| one.request.key().cmp(other.request.key()));
        let parts = batch.into_iter().map(|Pending { request, caller, .. }| (request, caller));
        let (verbs, callers) = parts.unzip();
        send_batch(&*self.backend, verbs, callers).await;
    }
}

/// Runs a batch until each caller has its answer.
async fn send_batch<V: KeyedVerb, B: RunsBatch<V>>(
    backend: &B,
    mut verbs: Vec<V>,
    mut callers: Vec<ReplySender<V>>,
) {
    let mut pauses = pauses();
    loop {
        match backend.run(&verbs).await {
            Ok(answers) => {
                let mut retries = (Vec::new(), Vec::new());
                let mut last_error = None;
                let mut alone = Vec::new();
                for ((verb, caller), answer) in verbs.into_iter().zip(callers).zip(answers) {
                    match answer {
                        VerbAnswer::Settled(reply) => drop(caller.send(reply)),
                        VerbAnswer::Stale | VerbAnswer::Together(_) => {
                            if let VerbAnswer::Together(error) = answer {
                                last_error = Some(error);
                            }
                            retries.0.push(verb);
                            retries.1.push(caller);
                        }
                        VerbAnswer::Individually => alone.push((verb, caller)),
                    }
                }
                send_singly(backend, alone).await;
                (verbs, callers) = retries;
                if verbs.is_empty() {
                    return;
                }
                if pauses.next().is_none() {
                    return refuse::<V>(callers, &last_error.unwrap_or_else(too_much_contention));
                }
                // Retried without a pause: the other writer has committed.
            }
            Err(StatementError { retry: Rerun::Together, error }) => match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return refuse::<V>(callers, &error),
            },
            Err(StatementError { retry: Rerun::Individually | Rerun::Locked, .. })
                if verbs.len() > 1 =>
            {
                return send_singly(backend, verbs.into_iter().zip(callers).collect()).await;
            }
            Err(StatementError { error, .. }) => return refuse::<V>(callers, &error),
        }
    }
}

async fn send_singly<V: KeyedVerb, B: RunsBatch<V>>(backend: &B, batch: Vec<(V, ReplySender<V>)>) {
    for (verb, caller) in batch {
        // It was not applied, and a dropped caller no longer needs it.
        if !caller.is_closed() {
            Box::pin(send_batch(backend, vec![verb], vec![caller])).await;
        }
    }
}

fn too_much_contention() -> StorageError {
    let message = "too much contention on the record: it changed at every attempt; retry";
    StorageError::new(StorageErrorKind::NotApplied, message)
}

fn refuse<V: KeyedVerb>(callers: Vec<ReplySender<V>>, error: &StorageError) {
    for caller in callers {
        let _ = caller.send(Err(error.clone()));
    }
}

/// Pauses between attempts at an aborted batch.
fn pauses() -> impl Iterator<Item = Duration> {
    ExponentialBuilder::new()
        .with_min_delay(Duration::from_millis(1))
        .with_max_delay(Duration::from_millis(50))
        .with_max_times(12)
        .with_jitter()
        .build()
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::Notify;

    use super::*;
    use crate::key::RecordKey;
    use crate::record::OwnerId;
    use crate::storage::Release;

    /// A database that does not answer.
    #[derive(Default)]
    struct Silent {
        asked: Notify,
    }

    impl RunsBatch<Release> for Silent {
        async fn run(&self, _: &[Release]) -> Result<VerbAnswers<Release>, StatementError> {
            self.asked.notify_one();
            pending().await
        }
    }

    #[tokio::test]
    async fn request_that_was_not_sent_is_not_applied() {
        let database = Arc::new(Silent::default());
        let verbs = VerbBatcher::new(&database, 1, STALLED / 4);
        let release = |key: &str| Release {
            key: RecordKey::from_stored(key.to_owned()),
            owner: OwnerId::random(),
        };
        let second = async {
            database.asked.notified().await;
            verbs.send(release("second")).await
        };
        let (first, second) = tokio::join!(verbs.send(release("first")), second);
        assert_eq!(first.unwrap_err().kind(), StorageErrorKind::Indeterminate);
        assert_eq!(second.unwrap_err().kind(), StorageErrorKind::NotApplied);
    }
}
