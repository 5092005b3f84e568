//! A connection that is made when it is needed and given up when it is no longer good.
//!
//! Why not the client's own connection manager: it keeps a connection whose server answers `READONLY` (a demoted primary) or no longer
//! answers at all, it does not ask the sentinels again, and its first command after a lost connection fails even when nothing was sent.
//!
//! A connection is given up when it breaks (the client tells at once, not only at the next command), when a reply does not come in time,
//! when the server says that it is a replica, and when the runtime that drives it ends. Requests that are under way on it keep it until
//! they have their answers; the next request makes a new one. Of many callers without a connection one connects, and the others share
//! what comes of it, be it an error.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redis::{RedisError, RedisResult};
use tokio::task::AbortHandle;

use super::error::Fault;

/// Makes a connection. Calls the [`Lost`] when the connection breaks, if it can tell.
pub(super) trait Connect: Send + Sync + 'static {
    type Connection: Clone + Send + Sync + 'static;

    fn connect(&self, lost: Lost) -> BoxFuture<'_, RedisResult<Self::Connection>>;

    /// Called when a connection has been given up.
    fn has_lost(&self);
}

/// Gives one connection up.
#[derive(Clone)]
pub(super) struct Lost(Arc<dyn Fn() + Send + Sync>);

impl Lost {
    pub(super) fn call(&self) {
        (self.0)();
    }
}

/// The current connection, if there is one.
pub(super) struct Link<C: Connect> {
    connect: Arc<C>,
    current: Arc<Mutex<Option<Live<C::Connection>>>>,
    /// The error of the last attempt; whoever holds the lock connects.
    connecting: tokio::sync::Mutex<Option<RedisError>>,
    /// How many attempts have ended.
    attempts: AtomicU64,
    /// How many connections have been begun.
    generations: AtomicU64,
}

#[derive(Clone)]
struct Live<T> {
    connection: T,
    generation: u64,
    _runtime: Arc<Canary>,
}

/// Something that lives as long as the runtime it was made on.
struct Canary(AbortHandle);

impl Drop for Canary {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Calls a [`Lost`] when it is dropped.
struct LostOnDrop(Lost);

impl Drop for LostOnDrop {
    fn drop(&mut self) {
        self.0.call();
    }
}

/// A connection to send requests on.
pub(super) struct Lease<T> {
    pub(super) connection: T,
    generation: u64,
}

impl<C: Connect> Link<C> {
    pub(super) fn new(connect: C) -> Self {
        Self {
            connect: Arc::new(connect),
            current: Arc::default(),
            connecting: tokio::sync::Mutex::default(),
            attempts: AtomicU64::new(0),
            generations: AtomicU64::new(0),
        }
    }

    /// The current connection, or a new one.
    pub(super) async fn get(&self) -> Result<Lease<C::Connection>, Fault> {
        if let Some(lease) = self.live() {
            return Ok(lease);
        }
        let seen = self.attempts.load(Ordering::Acquire);
        let mut last_error = self.connecting.lock().await;
        if let Some(lease) = self.live() {
            return Ok(lease);
        }
        if let Some(error) = &*last_error
            && self.attempts.load(Ordering::Acquire) != seen
        {
            return Err(Fault::Unsent(error.clone()));
        }
        let generation = self.generations.fetch_add(1, Ordering::AcqRel) + 1;
        let lost = self.lost(generation);
        let result = self.connect.connect(lost.clone()).await;
        self.attempts.fetch_add(1, Ordering::AcqRel);
        match result {
            Ok(connection) => {
                *last_error = None;
                let canary = tokio::spawn(async move {
                    let _on_end = LostOnDrop(lost);
                    std::future::pending::<()>().await;
                });
                let runtime = Arc::new(Canary(canary.abort_handle()));
                let live = Live { connection: connection.clone(), generation, _runtime: runtime };
                *self.current.lock() = Some(live);
                Ok(Lease { connection, generation })
            }
            Err(error) => {
                *last_error = Some(error.clone());
                Err(Fault::Unsent(error))
            }
        }
    }

    /// What makes the connections.
    pub(super) fn connect(&self) -> &C {
        &self.connect
    }

    fn live(&self) -> Option<Lease<C::Connection>> {
        let current = self.current.lock();
        let live = current.as_ref()?;
        Some(Lease { connection: live.connection.clone(), generation: live.generation })
    }

    /// Gives up the connection that `lease` was on.
    pub(super) fn give_up(&self, lease: &Lease<C::Connection>) {
        self.lost(lease.generation).call();
    }

    fn lost(&self, generation: u64) -> Lost {
        let link = (Arc::downgrade(&self.current), Arc::downgrade(&self.connect));
        Lost(Arc::new(move || {
            let (Some(current), Some(connect)) = (link.0.upgrade(), link.1.upgrade()) else {
                return;
            };
            // Dropping a connection runs code of its own, which is not to happen under the lock.
            let ended = current.lock().take_if(|live| live.generation == generation);
            if ended.is_some() {
                connect.has_lost();
            }
        }))
    }
}
