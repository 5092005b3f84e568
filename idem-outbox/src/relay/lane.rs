//! Publishing the events of lanes: those of one after each other, those of different ones at the same time.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::timeout;
use tracing::Instrument;

use super::Work;
use super::claim::{Run, Runs};
use super::settings::{AfterDeath, pause_after};
use super::settle::Mark;
use crate::Event;
use crate::database::OutboxDatabase;
use crate::publisher::{PublishError, PublishErrorKind, Publisher};
use crate::store::{Fate, Taken, Unsent};
use crate::telemetry;

/// Longest text of an error that is kept with an event, in characters.
const LONGEST_ERROR: usize = 500;

impl<DB: OutboxDatabase, P: Publisher> Work<DB, P> {
    /// Publishes runs until no more can come and none is left.
    pub(super) async fn publish(&self, mut claimed: Runs, marks: UnboundedSender<Mark>) {
        let mut lanes = FuturesUnordered::new();
        let mut can_come = true;
        while can_come || !lanes.is_empty() {
            tokio::select! {
                run = claimed.recv(), if can_come => match run {
                    Some(run) => lanes.push(self.publish_run(run, &marks)),
                    None => can_come = false,
                },
                Some(()) = lanes.next(), if !lanes.is_empty() => {}
            }
        }
    }

    /// Publishes one event after the other, up to the first that fails.
    async fn publish_run(&self, run: Run, marks: &UnboundedSender<Mark>) {
        // The receiver lives until all senders are gone.
        let mark = |mark| drop(marks.send(mark));
        let mut events = run.into_iter();
        for taken in events.by_ref() {
            if self.stop.is_cancelled()
                || self.pause.until().is_some()
                || !self.in_flight.is_live(taken.held)
            {
                mark(Mark::released(taken.held));
                break;
            }
            match self.publish_event(&taken.event).await {
                Ok(()) => {
                    self.pause.end();
                    mark(Mark::Published(taken.held));
                }
                Err(error) => {
                    let fate = self.fate(&taken, &error);
                    mark(Mark::Unsent(Unsent { held: taken.held, fate }));
                    break;
                }
            }
        }
        events.for_each(|taken| mark(Mark::released(taken.held)));
    }

    async fn publish_event(&self, event: &Event) -> Result<(), PublishError> {
        let span = tracing::debug_span!("outbox_publish", topic = event.topic, event = %event.id);
        let publishing = async { self.publisher.publish(event).await };
        // A panic is an attempt that failed: it must not take the other events along.
        let publishing = AssertUnwindSafe(publishing).catch_unwind().instrument(span);
        match timeout(self.settings.publish_timeout, publishing).await {
            Ok(Ok(published)) => published,
            Ok(Err(_)) => Err(PublishError::retryable("the publisher panicked")),
            Err(_) => Err(PublishError::retryable("the broker did not answer in time")),
        }
    }

    /// What becomes of an event that was not published.
    fn fate(&self, taken: &Taken, error: &PublishError) -> Fate {
        let source = error as &dyn std::error::Error;
        let (topic, event) = (taken.event.topic.as_str(), taken.event.id);
        let attempts = taken.attempts.saturating_add(1);
        if error.kind() == PublishErrorKind::Unavailable {
            if let Some(pause) = self.pause.begin(&self.settings) {
                tracing::warn!(
                    topic,
                    error = source,
                    ?pause,
                    "the broker is unavailable; the relay pauses"
                );
            }
            return Fate::Released;
        }
        let text = kept(&error.to_string());
        if error.kind() == PublishErrorKind::Permanent || attempts >= self.settings.max_attempts {
            telemetry::count_events("dead", 1);
            tracing::error!(topic, %event, attempts, error = source, "an event was put aside as a dead letter");
            return Fate::Dead {
                error: text,
                blocking: self.settings.after_death == AfterDeath::Wait,
            };
        }
        telemetry::count_events("failed", 1);
        let delay = pause_after(attempts, self.settings.first_pause, self.settings.longest_pause);
        tracing::warn!(topic, %event, attempts, error = source, ?delay, "an event was not published; trying again");
        Fate::Failed { delay, error: text }
    }
}

/// An error's text as the table takes it.
fn kept(text: &str) -> String {
    let plain = text.chars().map(|char| if char.is_control() { ' ' } else { char });
    plain.take(LONGEST_ERROR).collect()
}
