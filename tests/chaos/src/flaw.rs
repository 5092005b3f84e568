//! Mistakes to be put into a process, so that the judge can be seen to find them.

use std::time::Duration;

use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, Fence, Record};
use idem_runtime::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, SharedStorage, Storage, StorageError,
    Wakeup, Written,
};
use serde::{Deserialize, Serialize};

/// A mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Flaw {
    /// The body runs whatever the record says.
    IgnoresTheRecord,
    /// The body runs although another owner is at work.
    IgnoresOtherOwners,
    /// A result counts although another owner has taken over.
    CompletesWithoutOwning,
    /// A result is given away and never recorded.
    CompletesNothing,
    /// Leases are not renewed.
    RenewsNothing,
    /// A crash that is to be parked is retried.
    RetriesWhatIsParked,
    /// Every owner is given the first fence.
    RepeatsFences,
    /// A lease lasts a hundred times as long as asked for.
    HoldsTheKey,
}

impl Flaw {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::IgnoresTheRecord,
        Self::IgnoresOtherOwners,
        Self::CompletesWithoutOwning,
        Self::CompletesNothing,
        Self::RenewsNothing,
        Self::RetriesWhatIsParked,
        Self::RepeatsFences,
        Self::HoldsTheKey,
    ];
}

/// A storage with a mistake.
#[derive(Clone)]
pub struct Flawed {
    inner: SharedStorage,
    flaw: Flaw,
}

impl std::fmt::Debug for Flawed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Flawed").field("flaw", &self.flaw).finish_non_exhaustive()
    }
}

impl Flawed {
    /// `inner` with a mistake.
    pub fn new(inner: SharedStorage, flaw: Flaw) -> Self {
        Self { inner, flaw }
    }
}

impl Storage for Flawed {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        let mut asked = claim.clone();
        match self.flaw {
            Flaw::RetriesWhatIsParked => asked.on_crash = CrashPolicy::Retry,
            Flaw::HoldsTheKey => {
                asked.lease = claim.lease.saturating_mul(100).min(Duration::from_secs(600));
            }
            _ => {}
        }
        let answer = self.inner.claim(&asked).await?;
        Ok(match (self.flaw, answer) {
            (Flaw::IgnoresTheRecord, Claimed::Replay(_) | Claimed::Parked(_))
            | (Flaw::IgnoresOtherOwners, Claimed::InProgress { .. })
            | (Flaw::RepeatsFences, Claimed::Acquired { .. }) => {
                Claimed::Acquired { fence: Fence::FIRST, recovered: false }
            }
            (_, answer) => answer,
        })
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        if self.flaw == Flaw::RenewsNothing {
            return renewals.iter().map(|_| Ok(Written::Done)).collect();
        }
        self.inner.renew(renewals).await
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        if self.flaw == Flaw::CompletesNothing {
            return Ok(Written::Done);
        }
        let written = self.inner.complete(complete).await?;
        Ok(if self.flaw == Flaw::CompletesWithoutOwning { Written::Done } else { written })
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        self.inner.release(release).await
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.inner.load(key).await
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        self.inner.purge(limit).await
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.inner.scan(after, limit).await
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        self.inner.watch(key).await
    }
}
