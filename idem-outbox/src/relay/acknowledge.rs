//! Writing to the rows of leased events: removing published ones, giving the others back, extending
//! leases.
//!
//! The acknowledgements that arrive during a statement go into the next one together, so that a
//! busy relay commits once for many events.

use std::convert::Infallible;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep};

use super::Worker;
use crate::database::OutboxDatabase;
use crate::store::{Lease, Nack, NackKind};
use crate::telemetry;

/// What a relay reports of a leased event.
#[derive(Debug)]
pub(super) enum Ack {
    Published(Lease),
    NotPublished(Nack),
}

impl Ack {
    pub(super) fn released(lease: Lease) -> Self {
        Self::NotPublished(Nack { lease, kind: NackKind::Release })
    }
}

/// Most acknowledgements of one statement.
const MAX_ACKS: usize = 500;

impl<DB: OutboxDatabase, P> Worker<DB, P> {
    /// Writes acknowledgements until the channel is closed and empty.
    pub(super) async fn acknowledge(&self, mut receiver: UnboundedReceiver<Ack>) {
        let mut acks = Vec::new();
        while receiver.recv_many(&mut acks, MAX_ACKS).await > 0 {
            let (mut published, mut nacks): (Vec<Lease>, Vec<Nack>) = Default::default();
            for ack in acks.drain(..) {
                match ack {
                    Ack::Published(lease) => published.push(lease),
                    Ack::NotPublished(nack) => nacks.push(nack),
                }
            }
            if !published.is_empty() {
                telemetry::count_events("published", published.len());
                self.write(&published, None).await;
                self.in_flight.remove(published);
            }
            if !nacks.is_empty() {
                let leases: Vec<_> = nacks.iter().map(|nack| nack.lease).collect();
                self.write(&leases, Some(&nacks)).await;
                self.in_flight.remove(leases);
            }
        }
    }

    /// Removes events, or with `nacks` gives them back. Repeats the statement until it succeeds, or
    /// until no lease is in force and other relays may have the events.
    async fn write(&self, leases: &[Lease], nacks: Option<&[Nack]>) {
        let mut failures = 0;
        loop {
            let written = match nacks {
                None => self.shared.remove(leases).await,
                Some(nacks) => self.shared.nack(nacks).await,
            };
            let error = match written {
                // After a failure, rows may be missing because an earlier attempt was applied and
                // its reply was lost.
                Ok(rows) if failures == 0 && rows < leases.len() as u64 => {
                    let events = leases.len() as u64 - rows;
                    tracing::warn!(
                        events,
                        "another relay took over events; published ones will be redelivered"
                    );
                    return;
                }
                Ok(_) => return,
                Err(error) => error,
            };
            let is_lost = !leases.iter().any(|lease| self.in_flight.is_live(*lease));
            failures += 1;
            let pause = self.settings.relay_pause(failures);
            let events = leases.len();
            if is_lost {
                let error = &error as &dyn std::error::Error;
                tracing::error!(
                    error,
                    events,
                    "failed to acknowledge events; they will be redelivered"
                );
                return;
            }
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                events,
                ?pause,
                "failed to acknowledge events; trying again"
            );
            sleep(pause).await;
        }
    }

    /// Extends the leases of all events in flight, three times for each lease.
    pub(super) async fn renew_leases(&self) -> Infallible {
        let duration = self.settings.lease;
        loop {
            sleep(duration / 3).await;
            let leases = self.in_flight.all();
            if leases.is_empty() {
                continue;
            }
            let asked = Instant::now();
            match self.shared.renew(&leases, duration).await {
                Ok(renewed) => self.in_flight.renewed(&leases, &renewed, asked + duration),
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the leases of events could not be extended; trying again"
                ),
            }
        }
    }
}
