//! Checks the rights of a relay's database user before the relay publishes anything.
//!
//! A relay that may read events and not remove them would publish each of them again and again. So
//! it first runs every statement that it needs, on no events.

use std::time::Duration;

use super::database::{OutboxDatabase, Window};
use super::error::{OutboxError, OutboxErrorKind};
use super::store::Shared;
use idem_runtime::record::OwnerId;

/// The length of the leases of no events.
const LEASE: Duration = Duration::from_secs(1);

impl<DB: OutboxDatabase> Shared<DB> {
    /// # Errors
    ///
    /// [`OutboxErrorKind::Configuration`] where the table does not exist, or the user
    /// lacks a right, which the text names.
    pub(super) async fn try_rights(&self) -> Result<(), OutboxError> {
        self.list_pending(Window { after: -1, lanes: 1, events: 1 }).await?;
        let lacks = |right: &'static str| {
            move |error: OutboxError| match error.kind() {
                OutboxErrorKind::Configuration => {
                    let message = format!(
                        "a relay needs the right to {right} on the table {}: grant what docs/operating.md lists",
                        self.table
                    );
                    OutboxError::new(OutboxErrorKind::Configuration, message).with_source(error)
                }
                _ => error,
            }
        };
        self.lease(&[], OwnerId::random(), LEASE).await.map_err(lacks("SELECT and UPDATE"))?;
        self.renew(&[], LEASE).await.map_err(lacks("UPDATE"))?;
        self.nack(&[]).await.map_err(lacks("UPDATE"))?;
        self.remove(&[]).await.map_err(lacks("DELETE"))?;
        Ok(())
    }
}
