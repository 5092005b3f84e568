//! [`Storage`] of whatever kind in one type, so that a handle holds any backend.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;

use super::{
    Claim, Claimed, Complete, Cursor, MemoryStorage, Page, Release, Renew, Storage, StorageError,
    StorageWarning, Wakeup, Written,
};
use crate::fingerprint::Fingerprint;
use crate::key::RecordKey;
use crate::record::{Finished, Record};

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

trait Erased: Any + Send + Sync {
    fn backend(&self) -> &'static str;
    fn claim<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Claimed, StorageError>>;
    fn renew<'a>(
        &'a self,
        renewals: &'a [Renew],
    ) -> BoxFuture<'a, Vec<Result<Written, StorageError>>>;
    fn complete<'a>(
        &'a self,
        complete: &'a Complete,
    ) -> BoxFuture<'a, Result<Written, StorageError>>;
    fn release<'a>(&'a self, release: &'a Release) -> BoxFuture<'a, Result<Written, StorageError>>;
    fn load<'a>(
        &'a self,
        key: &'a RecordKey,
    ) -> BoxFuture<'a, Result<Option<Record>, StorageError>>;
    fn purge(&self, limit: usize) -> BoxFuture<'_, Result<u64, StorageError>>;
    fn scan<'a>(
        &'a self,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StorageError>>;
    fn watch<'a>(
        &'a self,
        key: &'a RecordKey,
    ) -> BoxFuture<'a, Result<Option<Wakeup>, StorageError>>;
    fn ping(&self) -> BoxFuture<'_, Result<(), StorageError>>;
    fn warnings(&self) -> BoxFuture<'_, Result<Vec<StorageWarning>, StorageError>>;
}

impl<S: Storage> Erased for S {
    fn backend(&self) -> &'static str {
        Storage::backend(self)
    }
    fn claim<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Claimed, StorageError>> {
        Box::pin(Storage::claim(self, claim))
    }
    fn renew<'a>(
        &'a self,
        renewals: &'a [Renew],
    ) -> BoxFuture<'a, Vec<Result<Written, StorageError>>> {
        Box::pin(Storage::renew(self, renewals))
    }
    fn complete<'a>(
        &'a self,
        complete: &'a Complete,
    ) -> BoxFuture<'a, Result<Written, StorageError>> {
        Box::pin(Storage::complete(self, complete))
    }
    fn release<'a>(&'a self, release: &'a Release) -> BoxFuture<'a, Result<Written, StorageError>> {
        Box::pin(Storage::release(self, release))
    }
    fn load<'a>(
        &'a self,
        key: &'a RecordKey,
    ) -> BoxFuture<'a, Result<Option<Record>, StorageError>> {
        Box::pin(Storage::load(self, key))
    }
    fn purge(&self, limit: usize) -> BoxFuture<'_, Result<u64, StorageError>> {
        Box::pin(Storage::purge(self, limit))
    }
    fn scan<'a>(
        &'a self,
        after: Option<&'a Cursor>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Page, StorageError>> {
        Box::pin(Storage::scan(self, after, limit))
    }
    fn watch<'a>(
        &'a self,
        key: &'a RecordKey,
    ) -> BoxFuture<'a, Result<Option<Wakeup>, StorageError>> {
        Box::pin(Storage::watch(self, key))
    }
    fn ping(&self) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(Storage::ping(self))
    }
    fn warnings(&self) -> BoxFuture<'_, Result<Vec<StorageWarning>, StorageError>> {
        Box::pin(Storage::warnings(self))
    }
}

/// Any [`Storage`], cheap to clone. It is a `Storage` itself.
#[derive(Clone)]
pub struct SharedStorage(Backend);

#[derive(Clone)]
enum Backend {
    /// Called directly: its verbs are shorter than the allocation of a boxed future.
    Memory(MemoryStorage),
    Other(Arc<dyn Erased>),
}

impl SharedStorage {
    /// Shares `storage`.
    pub fn new(storage: impl Storage) -> Self {
        let any: &dyn Any = &storage;
        if let Some(shared) = any.downcast_ref::<Self>() {
            Self::clone(shared)
        } else if let Some(memory) = any.downcast_ref::<MemoryStorage>() {
            Self(Backend::Memory(MemoryStorage::clone(memory)))
        } else {
            Self(Backend::Other(Arc::new(storage)))
        }
    }

    /// The storage itself, where it is an `S` and not a wrapper around one.
    #[cfg(feature = "_sql")]
    pub(crate) fn downcast_ref<S: Storage>(&self) -> Option<&S> {
        match &self.0 {
            Backend::Memory(_) => None,
            Backend::Other(other) => {
                let any: &dyn Any = &**other;
                any.downcast_ref()
            }
        }
    }

    /// What a claim would replay, where that is known in this process without asking: a short cut,
    /// and `None` says nothing.
    pub(crate) fn replay_here(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
    ) -> Option<Finished> {
        match &self.0 {
            Backend::Memory(memory) => memory.replay(key, fingerprint),
            Backend::Other(_) => None,
        }
    }
}

impl std::fmt::Debug for SharedStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedStorage({})", Storage::backend(self))
    }
}

impl Storage for SharedStorage {
    fn backend(&self) -> &'static str {
        match &self.0 {
            Backend::Memory(memory) => Storage::backend(memory),
            Backend::Other(other) => other.backend(),
        }
    }
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::claim(memory, claim).await,
            Backend::Other(other) => other.claim(claim).await,
        }
    }
    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        match &self.0 {
            Backend::Memory(memory) => Storage::renew(memory, renewals).await,
            Backend::Other(other) => other.renew(renewals).await,
        }
    }
    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::complete(memory, complete).await,
            Backend::Other(other) => other.complete(complete).await,
        }
    }
    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::release(memory, release).await,
            Backend::Other(other) => other.release(release).await,
        }
    }
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::load(memory, key).await,
            Backend::Other(other) => other.load(key).await,
        }
    }
    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::purge(memory, limit).await,
            Backend::Other(other) => other.purge(limit).await,
        }
    }
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::scan(memory, after, limit).await,
            Backend::Other(other) => other.scan(after, limit).await,
        }
    }
    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::watch(memory, key).await,
            Backend::Other(other) => other.watch(key).await,
        }
    }
    async fn ping(&self) -> Result<(), StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::ping(memory).await,
            Backend::Other(other) => other.ping().await,
        }
    }
    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        match &self.0 {
            Backend::Memory(memory) => Storage::warnings(memory).await,
            Backend::Other(other) => other.warnings().await,
        }
    }
}
