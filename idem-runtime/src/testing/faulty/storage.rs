//! The wrapper around a storage.

use std::future::pending;

use super::{Fault, Faults, Verb};
use crate::key::RecordKey;
use crate::record::Record;
use crate::storage::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError,
    StorageErrorKind, StorageWarning, Wakeup, Written,
};
use crate::sync::time::sleep;

/// A storage with [`Faults`]. Clones share the faults.
#[derive(Clone, Debug)]
pub struct FaultyStorage<S> {
    inner: S,
    faults: Faults,
}

impl<S: Storage> FaultyStorage<S> {
    /// Wraps `inner`, without any fault yet.
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Faults::default() }
    }

    /// The faults.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }

    /// The wrapped storage.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// Applies the next fault of `verb` to `call`.
    async fn through<T>(
        &self,
        verb: Verb,
        call: impl Future<Output = T> + Send,
    ) -> Result<T, StorageError> {
        match self.faults.meet(verb) {
            None => Ok(call.await),
            Some(Fault::Refuse) => Err(StorageError::new(
                StorageErrorKind::NotApplied,
                "an injected fault refused the call",
            )),
            Some(Fault::Fail(kind)) => {
                Err(StorageError::new(kind, "an injected fault failed the call"))
            }
            Some(Fault::LoseRequest) => Err(lost()),
            Some(Fault::LoseReply) => {
                call.await;
                Err(lost())
            }
            Some(Fault::Delay(duration)) => {
                sleep(duration).await;
                Ok(call.await)
            }
            Some(Fault::DelayReply(duration)) => {
                let answer = call.await;
                sleep(duration).await;
                Ok(answer)
            }
            Some(Fault::Hang) => pending().await,
            Some(Fault::HangAfter) => {
                call.await;
                pending().await
            }
        }
    }
}

fn lost() -> StorageError {
    StorageError::new(StorageErrorKind::Indeterminate, "an injected fault lost the reply")
}

impl<S: Storage> Storage for FaultyStorage<S> {
    fn backend(&self) -> &'static str {
        self.inner.backend()
    }

    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        self.through(Verb::Claim, self.inner.claim(claim)).await?
    }

    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        match self.through(Verb::Renew, self.inner.renew(renewals)).await {
            Ok(answers) => answers,
            Err(error) => vec![Err(error); renewals.len()],
        }
    }

    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        self.through(Verb::Complete, self.inner.complete(complete)).await?
    }

    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        self.through(Verb::Release, self.inner.release(release)).await?
    }

    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.through(Verb::Load, self.inner.load(key)).await?
    }

    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        self.through(Verb::Purge, self.inner.purge(limit)).await?
    }

    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.through(Verb::Scan, self.inner.scan(after, limit)).await?
    }

    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        self.through(Verb::Watch, self.inner.watch(key)).await?
    }

    /// Meets the faults of [`Verb::Load`], since the default ping is a load.
    async fn ping(&self) -> Result<(), StorageError> {
        self.through(Verb::Load, self.inner.ping()).await?
    }

    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        self.inner.warnings().await
    }
}
