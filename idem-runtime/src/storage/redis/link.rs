//! A connection that is made on demand and given up when it breaks.
//!
//! Why not the client's own connection manager: it keeps a connection whose server answers
//! `READONLY` (a demoted primary) or no longer answers at all, it does not ask the sentinels again,
//! and its first command after a lost connection fails even when nothing was sent.
//!
//! A connection is given up when it breaks (the client tells at once, not only at the next
//! command), when a reply does not come in time, and when the server says that it is a replica.
//! Requests in flight on it keep it until they have their replies; the next request connects anew.
//! Concurrent callers without a connection share one attempt and its result, also an error.
//!
//! Connections are made and driven at the link's home. That is either the library's own thread,
//! where requests continue even if a caller's runtime blocks or shuts down during an attempt, or
//! the one runtime whose callers alone use the link.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redis::{RedisError, RedisResult};
use tokio::sync::watch;

use super::error::{CommandError, abandoned};
use crate::driver::Home;

/// Makes a connection. Calls the [`OnLost`] when the connection breaks, if it can tell.
pub(super) trait Connect: Send + Sync + 'static {
    type Connection: Clone + Send + Sync + 'static;

    /// Ends in bounded time, whatever the server does.
    fn connect(&self, lost: OnLost) -> BoxFuture<'_, RedisResult<Self::Connection>>;

    /// Called when a connection has been given up.
    fn on_lost(&self);
}

/// Gives one connection up.
#[derive(Clone)]
pub(super) struct OnLost(Arc<dyn Fn() + Send + Sync>);

impl OnLost {
    pub(super) fn call(&self) {
        (self.0)();
    }
}

/// The current connection, if there is one.
pub(super) struct RedisLink<C: Connect> {
    connect: Arc<C>,
    home: Home,
    state: Arc<Mutex<LinkState<C::Connection>>>,
}

struct LinkState<T> {
    live: Option<LiveConnection<T>>,
    /// The connection attempt in progress.
    attempt: Option<Attempt<T>>,
    /// The number of connection attempts so far.
    generations: u64,
}

/// `None` until it has ended.
type Attempt<T> = watch::Receiver<Option<Result<LiveConnection<T>, RedisError>>>;

/// A connection to send requests on.
#[derive(Clone)]
pub(super) struct LiveConnection<T> {
    pub(super) connection: T,
    generation: u64,
}

impl<C: Connect> RedisLink<C> {
    pub(super) fn new(connect: C, home: Home) -> Self {
        let state = LinkState { live: None, attempt: None, generations: 0 };
        Self { connect: Arc::new(connect), home, state: Arc::new(Mutex::new(state)) }
    }

    /// The current connection, or a new one.
    pub(super) async fn get(&self) -> Result<LiveConnection<C::Connection>, CommandError> {
        let mut attempt = {
            let mut state = self.state.lock();
            if let Some(lease) = &state.live {
                return Ok(lease.clone());
            }
            // An attempt whose task is gone has no result.
            let attempt = state.attempt.clone().filter(|attempt| attempt.has_changed().is_ok());
            attempt.unwrap_or_else(|| self.begin(&mut state))
        };
        let ended = attempt.wait_for(Option::is_some).await;
        match ended.ok().and_then(|ended| ended.clone()) {
            Some(ended) => ended.map_err(CommandError::Unsent),
            None => Err(CommandError::Unsent(abandoned())),
        }
    }

    /// Begins an attempt to connect.
    fn begin(&self, state: &mut LinkState<C::Connection>) -> Attempt<C::Connection> {
        state.generations += 1;
        let generation = state.generations;
        let (ended, attempt) = watch::channel(None);
        state.attempt = Some(attempt.clone());
        let (connect, lost) = (Arc::clone(&self.connect), self.lost(generation));
        let state = Arc::clone(&self.state);
        self.home.spawn(async move {
            let result = connect.connect(lost).await;
            let result = result.map(|connection| LiveConnection { connection, generation });
            let mut state = state.lock();
            state.attempt = None;
            state.live = result.as_ref().ok().cloned();
            drop(state);
            ended.send_replace(Some(result));
        });
        attempt
    }

    /// Where the connections are made and driven.
    pub(super) fn home(&self) -> Home {
        self.home
    }

    /// What makes the connections.
    pub(super) fn connect(&self) -> &C {
        &self.connect
    }

    /// Gives up the connection that `lease` was on.
    pub(super) fn give_up(&self, lease: &LiveConnection<C::Connection>) {
        self.lost(lease.generation).call();
    }

    fn lost(&self, generation: u64) -> OnLost {
        let link = (Arc::downgrade(&self.state), Arc::downgrade(&self.connect));
        OnLost(Arc::new(move || {
            let (Some(state), Some(connect)) = (link.0.upgrade(), link.1.upgrade()) else {
                return;
            };
            // Dropping a connection runs code of its own, which is not to happen under the lock.
            let ended = state.lock().live.take_if(|live| live.generation == generation);
            if ended.is_some() {
                connect.on_lost();
            }
        }))
    }
}
