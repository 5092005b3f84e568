//! Wake-ups for waiters, shared by the backends that have them.

use std::sync::Arc;

use hashbrown::HashMap;

use crate::key::RecordKey;
use crate::sync::atomic::{AtomicUsize, Ordering};
use crate::sync::{Mutex, watch};

/// Tells a waiter that a key may have changed. Dropping it ends the subscription.
#[derive(Debug)]
pub struct Wakeup {
    changes: watch::Receiver<()>,
    watchers: Watchers,
    key: RecordKey,
}

impl Wakeup {
    /// Waits until the key may have changed since the last call, or since the subscription began.
    ///
    /// # Cancel safety
    ///
    /// A wake-up that arrives while nobody is waiting is kept for the next call.
    pub async fn changed(&mut self) {
        if self.changes.changed().await.is_err() {
            // The registry keeps a sender as long as it has a receiver; were it otherwise, the
            // waiter's polling would go on.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Wakeup {
    fn drop(&mut self) {
        let mut keys = self.watchers.0.keys.lock();
        let Some(watched) = keys.get_mut(&self.key) else { return };
        watched.waiters -= 1;
        if watched.waiters == 0 {
            keys.remove(&self.key);
            self.watchers.0.count.fetch_sub(1, Ordering::Release);
            drop(keys);
            (self.watchers.0.left)(&self.key);
        }
    }
}

/// Who waits for which key, in this process.
#[derive(Clone)]
pub struct Watchers(Arc<Registry>);

struct Registry {
    keys: Mutex<HashMap<RecordKey, Watched>>,
    count: AtomicUsize,
    left: Box<dyn Fn(&RecordKey) + Send + Sync>,
}

/// A key that somebody waits for.
struct Watched {
    changes: watch::Sender<()>,
    /// Counted here, under the lock: the receivers of two waiters that leave together are both
    /// still there when each of them looks.
    waiters: usize,
}

impl Watchers {
    /// An empty registry that calls `left` when the last waiter of a key has gone.
    pub fn new(left: impl Fn(&RecordKey) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Registry {
            keys: Mutex::default(),
            count: AtomicUsize::new(0),
            left: Box::new(left),
        }))
    }

    /// Subscribes to a key; the flag says whether this is the key's first waiter.
    pub fn subscribe(&self, key: &RecordKey) -> (Wakeup, bool) {
        let mut keys = self.0.keys.lock();
        let mut first = false;
        let watched = keys.entry(key.clone()).or_insert_with(|| {
            first = true;
            self.0.count.fetch_add(1, Ordering::Release);
            Watched { changes: watch::channel(()).0, waiters: 0 }
        });
        watched.waiters += 1;
        let changes = watched.changes.subscribe();
        (Wakeup { changes, watchers: self.clone(), key: key.clone() }, first)
    }

    /// Wakes everybody who waits for the key named `key`.
    pub fn wake(&self, key: &str) {
        if self.0.count.load(Ordering::Acquire) == 0 {
            return;
        }
        if let Some(watched) = self.0.keys.lock().get(key) {
            watched.changes.send_replace(());
        }
    }

    /// Wakes everybody: messages may have been lost.
    pub fn wake_all(&self) {
        for watched in self.0.keys.lock().values() {
            watched.changes.send_replace(());
        }
    }

    /// Whether somebody waits for this key.
    pub fn is_watched(&self, key: &RecordKey) -> bool {
        self.0.keys.lock().contains_key(key)
    }

    /// The keys that somebody waits for.
    pub fn keys(&self) -> Vec<RecordKey> {
        self.0.keys.lock().keys().cloned().collect()
    }
}

impl std::fmt::Debug for Watchers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watchers").field("keys", &self.0.count).finish_non_exhaustive()
    }
}
