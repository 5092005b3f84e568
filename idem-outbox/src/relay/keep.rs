//! Keeping leases up.

use std::convert::Infallible;

use tokio::time::{Instant, sleep};

use super::Work;
use crate::database::OutboxDatabase;

impl<DB: OutboxDatabase, P> Work<DB, P> {
    /// Extends the leases of everything in flight, three times for each lease.
    pub(super) async fn keep(&self) -> Infallible {
        let lease = self.settings.lease;
        loop {
            sleep(lease / 3).await;
            let held = self.in_flight.held();
            if held.is_empty() {
                continue;
            }
            let asked = Instant::now();
            match self.shared.renew(&held, lease).await {
                Ok(renewed) => self.in_flight.renewed(&held, &renewed, asked + lease),
                Err(error) => tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "leases of events could not be extended; trying again"
                ),
            }
        }
    }
}
