//! Which connections a command goes over.
//!
//! A connection is driven by a runtime, and stands still with it. So each runtime has connections
//! of its own for what its callers ask: a command and its reply cross no thread, and where nobody
//! drives the runtime, or its thread is busy with something else, its own callers wait and nobody
//! else. What must go on without them, heartbeats and writes in the background, goes over a
//! connection on the library's own thread.
//!
//! A runtime has two, so that one is answered while the next pipeline for the other is put
//! together. Its commands for one key all go over the same one and so, as long as that lives,
//! arrive in the order in which they were sent: what a dropped call releases does not overtake its
//! claim, and the next call does not overtake the release. In a cluster it has one, where no
//! command waits for another.
//!
//! They are made when a runtime first needs them, and forgotten when it ends.

use std::sync::{Arc, Weak};

use futures_util::future::try_join_all;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use parking_lot::RwLock;
use tokio::runtime::{Handle, Id};
use tokio::sync::oneshot;

use super::error::CommandError;
use super::sender::Sender;
use super::transport::Transport;
use crate::driver::{self, Home};
use crate::key::RecordKey;
use crate::runtime::{TimeKind, time};

/// The connections of a storage.
pub(super) struct Senders {
    library: Sender,
    runtimes: Arc<Runtimes>,
}

type Runtimes = RwLock<HashMap<Id, Own>>;

/// The connections of one runtime.
struct Own {
    senders: Vec<Sender>,
    /// Dropped with the connections, which ends the task that waits for the end of the runtime.
    _in_use: oneshot::Sender<()>,
}

impl Senders {
    /// Over connections like this one, whose home is the library. Those that are needed at once are
    /// made at once.
    pub(super) async fn connect(transport: Box<dyn Transport>) -> Result<Self, CommandError> {
        let senders = Self { library: Sender::new(transport), runtimes: Arc::default() };
        let own = senders.own(<[Sender]>::to_vec).unwrap_or_default();
        try_join_all(own.iter().chain([&senders.library]).map(Sender::ping)).await?;
        Ok(senders)
    }

    /// The one for this key.
    pub(super) fn of(&self, key: &RecordKey) -> Sender {
        let place = (key.name_hash() >> 32) as usize;
        let own = self.own(|senders| senders[place % senders.len()].clone());
        own.unwrap_or_else(|| self.library.clone())
    }

    /// One for whatever has no key, or many.
    pub(super) fn any(&self) -> Sender {
        self.own(|senders| senders[0].clone()).unwrap_or_else(|| self.library.clone())
    }

    /// The one that no runtime of the application's holds up.
    pub(super) fn library(&self) -> &Sender {
        &self.library
    }

    /// What `of` takes of those of the runtime that this is called on; `None` where it is not to
    /// have any.
    fn own<T>(&self, of: impl Fn(&[Sender]) -> T) -> Option<T> {
        let here = driver::caller()?;
        if let Some(own) = self.runtimes.read().get(&here.id()) {
            return Some(of(&own.senders));
        }
        // Where test time leaps, each wait for a server would time out at once.
        (time() == TimeKind::Real).then(|| of(&self.add(&here)))
    }

    fn add(&self, here: &Handle) -> Vec<Sender> {
        let transport = self.library.transport();
        let count = if transport.pipelines() { 2 } else { 1 };
        let sender = || Sender::new(transport.duplicate(Home::Caller));
        let (in_use, unused) = oneshot::channel();
        let own = Own { senders: (0..count).map(|_| sender()).collect(), _in_use: in_use };
        let senders = match self.runtimes.write().entry(here.id()) {
            Entry::Occupied(other) => return other.get().senders.clone(),
            Entry::Vacant(place) => place.insert(own).senders.clone(),
        };
        let ended = Ended { runtimes: Arc::downgrade(&self.runtimes), id: here.id() };
        here.spawn(async move {
            let _ended = ended;
            let _ = unused.await;
        });
        senders
    }
}

/// Dropped when a runtime ends, or when its connections are no longer needed.
struct Ended {
    runtimes: Weak<Runtimes>,
    id: Id,
}

impl Drop for Ended {
    fn drop(&mut self) {
        let Some(runtimes) = self.runtimes.upgrade() else { return };
        // Dropping connections runs code of their own, which is not to happen under the lock.
        let own = runtimes.write().remove(&self.id);
        drop(own);
    }
}
