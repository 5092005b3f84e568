//! Publishing enqueued events.
//!
//! A relay is one task with four loops. The first three hand work to each other, and when the relay
//! is stopped they end one after the other:
//!
//! ```text
//! poll         lists pending events, leases the first free ones of each lane    until it is stopped
//!   │ batches: events of one lane, in their order
//! publish      each batch by itself, one event after the other                  until no batch is left
//!   │ acks: published, failed, not tried
//! acknowledge  removes events or gives them back, many in one statement         until all are written
//!
//! renew_leases extends the leases of all events in flight, in one statement
//! ```
//!
//! No transaction is open while an event is being published, and no loop needs more than one
//! connection.

mod acknowledge;
mod leases;
mod poll;
mod publish;
mod settings;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;
use tokio_util::sync::CancellationToken;

use self::leases::InFlight;
pub use self::settings::OnDeadLetter;
use self::settings::{BrokerPause, Settings};
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

    /// Most events that are leased at once. Default: 256. When the process dies, so many may be
    /// published again.
    pub fn batch(mut self, events: usize) -> Self {
        self.settings.batch = events;
        self
    }

    /// How long events stay leased after their relay died. Default: 30 seconds, at least 100 ms. A
    /// relay extends its leases while it runs, so publishing may take longer.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.settings.lease = lease;
        self
    }

    /// How long the publisher may take for an event. Default: 10 seconds. After that the attempt
    /// has failed.
    pub fn publish_timeout(mut self, limit: Duration) -> Self {
        self.settings.publish_timeout = limit;
        self
    }

    /// How often an idle relay polls for new events, plus or minus a quarter. Default: 250 ms.
    /// [`Outbox::wake`](crate::Outbox::wake) makes the relays of the same process poll at once.
    pub fn poll(mut self, every: Duration) -> Self {
        self.settings.poll = every;
        self
    }

    /// After how many failed attempts an event becomes a dead letter. Default: 20, which takes
    /// about half an hour with the default backoff.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.max_attempts = attempts;
        self
    }

    /// The pause after an event's first failed attempt, and the longest pause. Default: 200 ms and
    /// 5 minutes. The pause doubles with each attempt, and is shortened at random by up to a half,
    /// so that events that failed together are not retried together.
    pub fn backoff(mut self, first: Duration, longest: Duration) -> Self {
        self.settings.first_pause = first;
        self.settings.longest_pause = longest;
        self
    }

    /// What happens to the later events of a key when an event becomes a dead letter. Default:
    /// [`OnDeadLetter::Skip`].
    pub fn on_dead_letter(mut self, then: OnDeadLetter) -> Self {
        self.settings.on_dead_letter = then;
        self
    }

    /// Publishes until `stop` is cancelled. Then the relay leases no more events, finishes and
    /// acknowledges those that it is publishing, and releases the others.
    ///
    /// Errors of the database or the broker do not end it: it logs them and tries again.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Configuration`] at the start: an invalid setting, a missing table, a
    /// missing right.
    ///
    /// # Cancel safety
    ///
    /// When the future is dropped, events in flight stay leased. They are published again after the
    /// lease, with the same ids.
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
        let (pause, in_flight) = (BrokerPause::default(), InFlight::default());
        let worker = Worker { shared, publisher, settings, stop, pause, in_flight };

        let (batches, leased) = unbounded_channel();
        let (acks, acknowledged) = unbounded_channel();
        let working = async {
            let polling = worker.poll(batches, acks.clone());
            let publishing = worker.publish(leased, acks);
            tokio::join!(polling, publishing, worker.acknowledge(acknowledged)).0
        };
        tokio::select! {
            biased;
            ended = working => ended,
            never = worker.renew_leases() => match never {},
        }
    }
}

/// What the loops of a relay share.
struct Worker<DB: OutboxDatabase, P> {
    shared: Arc<Shared<DB>>,
    publisher: P,
    settings: Settings,
    stop: CancellationToken,
    pause: BrokerPause,
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
