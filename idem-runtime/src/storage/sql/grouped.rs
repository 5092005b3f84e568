//! The verbs of a database, each kind in a group of its own.

use std::sync::Arc;
use std::time::Duration;

use super::group::{Group, Runs};
use super::tried::{Removes, Tried, name_right};
use super::wakeups::{Polls, Wakeups};
use crate::key::RecordKey;
use crate::storage::{Claim, Claimed, Complete, Release, Renew, StorageError, Wakeup, Written};

/// What runs every kind of batch.
pub(super) trait Database:
    Runs<Claim> + Runs<Renew> + Runs<Complete> + Runs<Release> + Polls + Removes
{
}

impl<B: Runs<Claim> + Runs<Renew> + Runs<Complete> + Runs<Release> + Polls + Removes> Database
    for B
{
}

/// A database behind its groups.
#[derive(Debug)]
pub(super) struct Grouped<B> {
    pub(super) backend: Arc<B>,
    claims: Group<Claim>,
    renewals: Group<Renew>,
    completions: Group<Complete>,
    releases: Group<Release>,
    wakeups: Wakeups,
    pub(super) tried: Tried,
}

impl<B: Database> Grouped<B> {
    /// A database that has at most `lanes` batches of claims, and as many of completions, under way at once. `limit` is how long a caller
    /// waits for an answer.
    pub(super) fn new(backend: B, lanes: usize, limit: Duration) -> Self {
        Self {
            backend: Arc::new(backend),
            claims: Group::new(lanes, limit),
            renewals: Group::new(1, limit),
            completions: Group::new(lanes, limit),
            releases: Group::new(1, limit),
            wakeups: Wakeups::new(),
            tried: Tried::default(),
        }
    }

    pub(super) async fn claim(self: &Arc<Self>, claim: &Claim) -> Result<Claimed, StorageError> {
        self.try_rights().await?;
        let claimed = self.claims.send(&self.backend, claim.clone()).await;
        claimed.map_err(|error| name_right("INSERT", error))
    }

    pub(super) async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        self.renewals.send_all(&self.backend, renewals.iter().cloned()).await
    }

    pub(super) async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        let written = self.completions.send(&self.backend, complete.clone()).await?;
        self.wakeups.wake(&complete.key);
        Ok(written)
    }

    pub(super) async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        let written = self.releases.send(&self.backend, release.clone()).await?;
        self.wakeups.wake(&release.key);
        Ok(written)
    }

    pub(super) fn watch(&self, key: &RecordKey) -> Wakeup {
        self.wakeups.watch(&self.backend, key)
    }
}
