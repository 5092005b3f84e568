//! Writing down what became of events.
//!
//! What comes while a statement is under way goes together in the next one, so that a busy relay commits once for many events.

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::sleep;

use super::Work;
use crate::database::OutboxDatabase;
use crate::store::{Fate, Held, Unsent};
use crate::telemetry;

/// What is to be written down of an event.
#[derive(Debug)]
pub(super) enum Mark {
    Published(Held),
    Unsent(Unsent),
}

impl Mark {
    pub(super) fn released(held: Held) -> Self {
        Self::Unsent(Unsent { held, fate: Fate::Released })
    }
}

/// Marks of one round of statements.
const LARGEST: usize = 500;

impl<DB: OutboxDatabase, P> Work<DB, P> {
    /// Writes marks down until no more can come.
    pub(super) async fn settle(&self, mut marked: UnboundedReceiver<Mark>) {
        let mut marks = Vec::new();
        while marked.recv_many(&mut marks, LARGEST).await > 0 {
            let (mut published, mut unsent): (Vec<Held>, Vec<Unsent>) = Default::default();
            for mark in marks.drain(..) {
                match mark {
                    Mark::Published(held) => published.push(held),
                    Mark::Unsent(mark) => unsent.push(mark),
                }
            }
            if !published.is_empty() {
                telemetry::count_events("published", published.len());
                self.write(&published, None).await;
                self.in_flight.remove(published);
            }
            if !unsent.is_empty() {
                let held: Vec<_> = unsent.iter().map(|unsent| unsent.held).collect();
                self.write(&held, Some(&unsent)).await;
                self.in_flight.remove(held);
            }
        }
    }

    /// Writes down what became of events, all of them published or all of them not. It is repeated until it has been done, or no lease
    /// of the events is left, so that others have them.
    async fn write(&self, held: &[Held], unsent: Option<&[Unsent]>) {
        let mut failures = 0;
        loop {
            let written = match unsent {
                None => self.shared.remove(held).await,
                Some(unsent) => self.shared.settle(unsent).await,
            };
            let error = match written {
                // A reply that was lost made the first one's rows those that are missing in the second.
                Ok(rows) if failures == 0 && rows < held.len() as u64 => {
                    let events = held.len() as u64 - rows;
                    tracing::warn!(
                        events,
                        "events were taken over; what was published is published again"
                    );
                    return;
                }
                Ok(_) => return,
                Err(error) => error,
            };
            let is_lost = !held.iter().any(|held| self.in_flight.is_live(*held));
            failures += 1;
            let pause = self.settings.pause_of_all(failures);
            {
                let (error, events) = (&error as &dyn std::error::Error, held.len());
                if is_lost {
                    tracing::error!(
                        error,
                        events,
                        "it could not be noted what became of events; they come again"
                    );
                    return;
                }
                tracing::warn!(
                    error,
                    events,
                    ?pause,
                    "it cannot be noted what became of events; trying again"
                );
            }
            sleep(pause).await;
        }
    }
}
