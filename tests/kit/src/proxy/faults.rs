//! Which faults are switched on, and what they have done.

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

type Predicate = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// What is lost next; the number of losses alone will often do: `proxy.drop_replies(1)`.
///
/// ```no_run
/// use testkit::proxy::{FaultProxy, Loss};
///
/// let proxy = FaultProxy::start("127.0.0.1:6379");
/// proxy.drop_replies(Loss::next(1).of_requests_with("EVALSHA").hanging());
/// ```
#[derive(Clone)]
pub struct Loss {
    left: usize,
    concerns: Option<Predicate>,
    ending: Ending,
}

/// How a connection ends that lost something.
#[derive(Debug, Clone)]
pub(super) struct Ending {
    pub(super) then: Then,
    /// What the client hears in place of a reply.
    pub(super) instead: Vec<u8>,
}

/// What becomes of a connection that lost something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Cut,
    Hang,
}

impl Loss {
    /// The next `count` requests or replies, each on a connection of its own, which is then closed.
    pub fn next(count: usize) -> Self {
        let ending = Ending { then: Then::Cut, instead: Vec::new() };
        Self { left: count, concerns: None, ending }
    }

    /// Only requests that contain this text, or only the replies to them.
    #[must_use]
    pub fn of_requests_with(self, text: &str) -> Self {
        let wanted = text.as_bytes().to_owned();
        self.of_requests(move |request| {
            request.windows(wanted.len().max(1)).any(|part| part == wanted)
        })
    }

    /// Only requests for which this is true, or only the replies to them.
    #[must_use]
    pub fn of_requests(mut self, concerns: impl Fn(&[u8]) -> bool + Send + Sync + 'static) -> Self {
        self.concerns = Some(Arc::new(concerns));
        self
    }

    /// The connection stays open afterwards, and nothing more gets through in the direction of the loss.
    #[must_use]
    pub fn hanging(mut self) -> Self {
        self.ending.then = Then::Hang;
        self
    }

    /// The client hears this in place of the reply that is lost.
    #[must_use]
    pub fn answered_with(mut self, reply: impl Into<Vec<u8>>) -> Self {
        self.ending.instead = reply.into();
        self
    }
}

impl From<usize> for Loss {
    fn from(count: usize) -> Self {
        Self::next(count)
    }
}

impl fmt::Debug for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loss")
            .field("left", &self.left)
            .field("of_all", &self.concerns.is_none())
            .field("ending", &self.ending)
            .finish()
    }
}

/// What a proxy has done since it was started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: usize,
    /// Connections that are open now.
    pub open: usize,
    /// Requests that reached the server.
    pub requests: usize,
    /// Replies that reached the client.
    pub replies: usize,
    /// Requests lost.
    pub dropped_requests: usize,
    /// Replies lost.
    pub dropped_replies: usize,
}

/// The switches and counters that a proxy and its connections share.
#[derive(Debug, Default)]
pub(super) struct Faults(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    requests: Direction,
    replies: Direction,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Direction {
    delay: Duration,
    losses: Vec<Loss>,
}

impl Direction {
    /// Uses up one loss that concerns this request; `None` stands for a reply to nobody knows what.
    fn take_loss(&mut self, request: Option<&[u8]>) -> Option<Ending> {
        let concerned = |loss: &&mut Loss| match (&loss.concerns, request) {
            (None, None) => true,
            (Some(concerns), Some(request)) => concerns(request),
            (None, Some(_)) | (Some(_), None) => false,
        };
        let loss = self.losses.iter_mut().filter(|loss| loss.left > 0).find(concerned)?;
        loss.left -= 1;
        Some(loss.ending.clone())
    }
}

/// What becomes of a request.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    Passes,
    IsLost(Then),
    ItsReplyIsLost(Ending),
}

impl Faults {
    pub(super) fn heal(&self) {
        let mut state = self.state();
        state.requests = Direction::default();
        state.replies = Direction::default();
    }

    pub(super) fn drop_requests(&self, loss: Loss) {
        self.state().requests.losses.push(loss);
    }

    pub(super) fn drop_replies(&self, loss: Loss) {
        self.state().replies.losses.push(loss);
    }

    pub(super) fn delay_requests(&self, delay: Duration) {
        self.state().requests.delay = delay;
    }

    pub(super) fn delay_replies(&self, delay: Duration) {
        self.state().replies.delay = delay;
    }

    pub(super) fn request_delay(&self) -> Duration {
        self.state().requests.delay
    }

    pub(super) fn reply_delay(&self) -> Duration {
        self.state().replies.delay
    }

    pub(super) fn fate_of_request(&self, request: &[u8]) -> Fate {
        let mut state = self.state();
        let lost =
            state.requests.take_loss(Some(request)).or_else(|| state.requests.take_loss(None));
        if let Some(ending) = lost {
            return Fate::IsLost(ending.then);
        }
        state.replies.take_loss(Some(request)).map_or(Fate::Passes, Fate::ItsReplyIsLost)
    }

    /// Whether the reply that has just arrived is lost, whatever request it answers.
    pub(super) fn reply_is_lost(&self) -> Option<Ending> {
        self.state().replies.take_loss(None)
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.state().counts);
    }

    pub(super) fn counts(&self) -> Counts {
        self.state().counts
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A test's predicate may have panicked; the switches are still what they were.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
