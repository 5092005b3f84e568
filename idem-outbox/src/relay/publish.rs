//! Publishing leased events: those of one lane in order, different lanes concurrently.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::time::timeout;
use tracing::Instrument;

use super::Worker;
use super::acknowledge::Ack;
use super::poll::LaneBatch;
use super::settings::{OnDeadLetter, pause_after};
use crate::Event;
use crate::database::OutboxDatabase;
use crate::publisher::{PublishError, PublishErrorKind, Publisher};
use crate::store::{LeasedEvent, Nack, NackKind};
use crate::telemetry;

/// Longest error text that is stored with an event, in characters.
const MAX_ERROR_CHARS: usize = 500;

impl<DB: OutboxDatabase, P: Publisher> Worker<DB, P> {
    /// Publishes batches until the channel is closed and all are done.
    pub(super) async fn publish(
        &self,
        mut batches: UnboundedReceiver<LaneBatch>,
        acks: UnboundedSender<Ack>,
    ) {
        let mut lanes = FuturesUnordered::new();
        let mut is_open = true;
        while is_open || !lanes.is_empty() {
            tokio::select! {
                batch = batches.recv(), if is_open => match batch {
                    Some(batch) => lanes.push(self.publish_batch(batch, &acks)),
                    None => is_open = false,
                },
                Some(()) = lanes.next(), if !lanes.is_empty() => {}
            }
        }
    }

    /// Publishes one event after the other, up to the first failure.
    async fn publish_batch(&self, batch: LaneBatch, acks: &UnboundedSender<Ack>) {
        // The receiver outlives all senders.
        let report = |ack| drop(acks.send(ack));
        let mut events = batch.into_iter();
        for leased in events.by_ref() {
            if self.stop.is_cancelled()
                || self.pause.until().is_some()
                || !self.in_flight.is_live(leased.lease)
            {
                report(Ack::released(leased.lease));
                break;
            }
            match self.publish_event(&leased.event).await {
                Ok(()) => {
                    self.pause.end();
                    report(Ack::Published(leased.lease));
                }
                Err(error) => {
                    let kind = self.nack(&leased, &error);
                    report(Ack::NotPublished(Nack { lease: leased.lease, kind }));
                    break;
                }
            }
        }
        events.for_each(|leased| report(Ack::released(leased.lease)));
    }

    async fn publish_event(&self, event: &Event) -> Result<(), PublishError> {
        let span = tracing::debug_span!("outbox_publish", topic = event.topic, event = %event.id);
        let publishing = async { self.publisher.publish(event).await };
        // A panic counts as a failed attempt and does not stop the other events.
        let publishing = AssertUnwindSafe(publishing).catch_unwind().instrument(span);
        match timeout(self.settings.publish_timeout, publishing).await {
            Ok(Ok(published)) => published,
            Ok(Err(_)) => Err(PublishError::retryable("the publisher panicked")),
            Err(_) => Err(PublishError::retryable("the broker did not answer in time")),
        }
    }

    /// Logs a failed attempt, and decides what becomes of its event.
    fn nack(&self, leased: &LeasedEvent, error: &PublishError) -> NackKind {
        let source = error as &dyn std::error::Error;
        let (topic, event) = (leased.event.topic.as_str(), leased.event.id);
        let attempts = leased.attempts.saturating_add(1);
        if error.kind() == PublishErrorKind::Unavailable {
            if let Some(pause) = self.pause.begin(&self.settings) {
                tracing::warn!(
                    topic,
                    error = source,
                    ?pause,
                    "the broker is unavailable; the relay pauses"
                );
            }
            return NackKind::Release;
        }
        let text = stored(&error.to_string());
        if error.kind() == PublishErrorKind::Permanent || attempts >= self.settings.max_attempts {
            telemetry::count_events("dead", 1);
            tracing::error!(topic, %event, attempts, error = source, "an event became a dead letter");
            return NackKind::DeadLetter {
                error: text,
                blocking: self.settings.on_dead_letter == OnDeadLetter::Block,
            };
        }
        telemetry::count_events("failed", 1);
        let delay = pause_after(attempts, self.settings.first_pause, self.settings.longest_pause);
        tracing::warn!(topic, %event, attempts, error = source, ?delay, "an event was not published; trying again");
        NackKind::Retry { delay, error: text }
    }
}

/// An error's text as the table stores it.
fn stored(text: &str) -> String {
    let plain = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    plain.take(MAX_ERROR_CHARS).collect()
}
