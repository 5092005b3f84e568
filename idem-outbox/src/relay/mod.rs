//! Publishing what was enqueued.
//!
//! Four loops in one task, which hand work on to each other and end one after the other when the relay is stopped:
//!
//! ```text
//! claim    surveys lanes, leases the first events of those that are free            until it is stopped
//!   │ runs: events of one lane, in their order
//! publish  every run by itself, each event after the one before it                  until no run is left
//!   │ marks: published, failed, not tried
//! settle   writes them down, those of many runs in one statement                    until all are written
//!
//! keep     extends the leases of what is in flight, all in one statement
//! ```
//!
//! No statement is open while an event is being published, and none needs more than one connection for more than itself.

mod claim;
mod in_flight;
mod keep;
mod lane;
mod pause;
mod settings;
mod settle;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use self::in_flight::InFlight;
use self::pause::Pause;
pub use self::settings::AfterDeath;
use self::settings::Settings;
use super::database::OutboxDatabase;
use super::error::{OutboxError, OutboxErrorKind};
use super::publisher::Publisher;
use super::store::Shared;
use super::telemetry;

/// Publishes the events of an outbox. From [`Outbox::relay`](crate::Outbox::relay).
///
/// Any number may run side by side, in one process or in many.
#[must_use = "a relay does nothing until it is run"]
pub struct Relay<DB: OutboxDatabase, P> {
    shared: Arc<Shared<DB>>,
    publisher: P,
    settings: Settings,
}

impl<DB: OutboxDatabase, P: Publisher> Relay<DB, P> {
    pub(super) fn new(shared: Arc<Shared<DB>>, publisher: P) -> Self {
        Self { shared, publisher, settings: Settings::default() }
    }

    /// How many events may be leased at once; 256 unless set. So many may be published again when the process dies.
    pub fn batch(mut self, events: usize) -> Self {
        self.settings.batch = events;
        self
    }

    /// How long a relay may be silent before others take its events over; 30 seconds unless set. It is renewed while the relay lives, so it
    /// is not the time that publishing may take, but that after which the events of a relay that died go on.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long the broker may take for an event; 10 seconds unless set. After that the attempt counts as failed.
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.settings.publish_timeout = limit;
        self
    }

    /// How often to look for new events while there are none, give or take a quarter; 250 ms unless set. [`Outbox::wake`](crate::Outbox::wake) has relays of the
    /// same process look at once.
    pub fn poll(mut self, every: Duration) -> Self {
        self.settings.poll = every;
        self
    }

    /// After how many failed attempts an event is put aside; 20 unless set, which with the pauses unless set is about half an hour.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// The pause after an event's first failed attempt, and the longest; 200 ms and 5 minutes unless set. It doubles with each attempt, and
    /// is shortened at random by up to a half, so that what failed together does not come again together.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.first_pause = first;
        self.settings.longest_pause = longest;
        self
    }

    /// What happens to later events of the key of one that was put aside; they go on unless set.
    pub fn after_death(mut self, then: AfterDeath) -> Self {
        self.settings.after_death = then;
        self
    }

    /// Publishes until `stop` is cancelled. Then nothing new is claimed, what is being published is finished and written down, and what
    /// was claimed and not begun is released.
    ///
    /// Trouble with the database or the broker does not end it: it is logged, and tried again.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Configuration`] and [`OutboxErrorKind::NewerVersion`] at the start: a setting that makes no sense, a table that
    /// is not there.
    ///
    /// # Cancel safety
    ///
    /// A future that is dropped leaves what is in flight leased: those events come again after the lease, with the same ids.
    pub fn run(
        self,
        stop: CancellationToken,
    ) -> impl Future<Output = Result<(), OutboxError>> + Send {
        self.publish_until(stop)
    }

    async fn publish_until(self, stop: CancellationToken) -> Result<(), OutboxError> {
        telemetry::describe();
        self.settings.check()?;
        idem_runtime::internal::check_runtime()
            .map_err(|text| OutboxError::new(OutboxErrorKind::Configuration, text))?;
        let (shared, publisher, settings) = (self.shared, self.publisher, self.settings);
        let (pause, in_flight) = (Pause::default(), InFlight::default());
        let work = Work { shared, publisher, settings, stop, pause, in_flight };

        let (runs, claimed) = unbounded_channel();
        let (marks, marked) = unbounded_channel();
        let busy = async {
            let claiming = work.claim(runs, marks.clone());
            let publishing = work.publish(claimed, marks);
            tokio::join!(claiming, publishing, work.settle(marked)).0
        };
        tokio::select! {
            biased;
            ended = busy => ended,
            never = work.keep() => match never {},
        }
    }
}

/// What the loops of a relay share.
struct Work<DB: OutboxDatabase, P> {
    shared: Arc<Shared<DB>>,
    publisher: P,
    settings: Settings,
    stop: CancellationToken,
    pause: Pause,
    in_flight: InFlight,
}

impl<DB: OutboxDatabase, P> fmt::Debug for Relay<DB, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relay")
            .field("outbox", &self.shared)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
