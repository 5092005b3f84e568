//! Wake-ups for waiters: at once by what this process finishes, and by one shared poll for what
//! others finish.
//!
//! All waiters of a storage share one statement, which asks for all of their keys and is not sent
//! while there are none. The pause between two polls is jittered, so that the processes of a fleet
//! do not poll in step.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hashbrown::HashSet;

use crate::driver;
use crate::key::RecordKey;
use crate::storage::{StorageError, Wakeup, Watchers};

/// The mean pause between two polls.
const PAUSE_MS: u64 = 25;

/// Finds out which keys are still being processed.
pub(crate) trait Polls: Send + Sync + 'static {
    /// The keys whose records are `Processing`.
    fn processing(
        &self,
        keys: &[RecordKey],
    ) -> impl Future<Output = Result<Vec<String>, StorageError>> + Send;
}

/// The waiters of this process.
#[derive(Debug)]
pub(super) struct SqlWakeups {
    watchers: Watchers,
    polling: Arc<AtomicBool>,
}

impl SqlWakeups {
    pub(super) fn new() -> Self {
        Self { watchers: Watchers::new(|_| {}), polling: Arc::default() }
    }

    /// Wakes the waiters of a key that this process has changed.
    pub(super) fn wake(&self, key: &RecordKey) {
        self.watchers.wake(key.as_str());
    }

    /// Subscribes to a key, and starts the poller if it is not running.
    pub(super) fn watch<B: Polls>(&self, backend: &Arc<B>, key: &RecordKey) -> Wakeup {
        let (wakeup, _) = self.watchers.subscribe(key);
        if !self.polling.swap(true, Ordering::SeqCst) {
            let (watchers, polling) = (self.watchers.clone(), Arc::clone(&self.polling));
            driver::spawn(Poller { watchers, polling, ended: false }.run(Arc::clone(backend)));
        }
        wakeup
    }
}

/// The task that polls for all waiters.
struct Poller {
    watchers: Watchers,
    polling: Arc<AtomicBool>,
    ended: bool,
}

impl Poller {
    async fn run<B: Polls>(mut self, backend: Arc<B>) {
        loop {
            tokio::time::sleep(pause()).await;
            let keys = self.watchers.keys();
            if keys.is_empty() {
                self.polling.store(false, Ordering::SeqCst);
                self.ended = true;
                // A waiter that subscribed just before the store has started no poller.
                if self.watchers.keys().is_empty() || self.polling.swap(true, Ordering::SeqCst) {
                    return;
                }
                self.ended = false;
                continue;
            }
            // Waiters also poll themselves, and report errors of the storage.
            if let Ok(processing) = backend.processing(&keys).await {
                let processing: HashSet<&str> = processing.iter().map(String::as_str).collect();
                for key in keys.iter().filter(|key| !processing.contains(key.as_str())) {
                    self.watchers.wake(key.as_str());
                }
            }
        }
    }
}

impl Drop for Poller {
    /// A poller that panics lets the next waiter start another.
    fn drop(&mut self) {
        if !self.ended {
            self.polling.store(false, Ordering::SeqCst);
        }
    }
}

fn pause() -> Duration {
    Duration::from_millis(fastrand::u64(PAUSE_MS / 2..=PAUSE_MS + PAUSE_MS / 2))
}
