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

type BoxReply<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

trait Erased: Any + Send + Sync {
    fn backend(&self) -> &'static str;
    fn claim<'a>(&'a self, claim: &'a Claim) -> BoxReply<'a, Claimed>;
    fn renew<'a>(
        &'a self,
        renewals: &'a [Renew],
    ) -> BoxFuture<'a, Vec<Result<Written, StorageError>>>;
    fn complete<'a>(&'a self, complete: &'a Complete) -> BoxReply<'a, Written>;
    fn release<'a>(&'a self, release: &'a Release) -> BoxReply<'a, Written>;
    fn load<'a>(&'a self, key: &'a RecordKey) -> BoxReply<'a, Option<Record>>;
    fn purge(&self, limit: usize) -> BoxReply<'_, u64>;
    fn scan<'a>(&'a self, after: Option<&'a Cursor>, limit: usize) -> BoxReply<'a, Page>;
    fn watch<'a>(&'a self, key: &'a RecordKey) -> BoxReply<'a, Option<Wakeup>>;
    fn ping(&self) -> BoxReply<'_, ()>;
    fn warnings(&self) -> BoxReply<'_, Vec<StorageWarning>>;
}

impl<S: Storage> Erased for S {
    fn backend(&self) -> &'static str {
        Storage::backend(self)
    }
    fn claim<'a>(&'a self, claim: &'a Claim) -> BoxReply<'a, Claimed> {
        Box::pin(Storage::claim(self, claim))
    }
    fn renew<'a>(
        &'a self,
        renewals: &'a [Renew],
    ) -> BoxFuture<'a, Vec<Result<Written, StorageError>>> {
        Box::pin(Storage::renew(self, renewals))
    }
    fn complete<'a>(&'a self, complete: &'a Complete) -> BoxReply<'a, Written> {
        Box::pin(Storage::complete(self, complete))
    }
    fn release<'a>(&'a self, release: &'a Release) -> BoxReply<'a, Written> {
        Box::pin(Storage::release(self, release))
    }
    fn load<'a>(&'a self, key: &'a RecordKey) -> BoxReply<'a, Option<Record>> {
        Box::pin(Storage::load(self, key))
    }
    fn purge(&self, limit: usize) -> BoxReply<'_, u64> {
        Box::pin(Storage::purge(self, limit))
    }
    fn scan<'a>(&'a self, after: Option<&'a Cursor>, limit: usize) -> BoxReply<'a, Page> {
        Box::pin(Storage::scan(self, after, limit))
    }
    fn watch<'a>(&'a self, key: &'a RecordKey) -> BoxReply<'a, Option<Wakeup>> {
        Box::pin(Storage::watch(self, key))
    }
    fn ping(&self) -> BoxReply<'_, ()> {
        Box::pin(Storage::ping(self))
    }
    fn warnings(&self) -> BoxReply<'_, Vec<StorageWarning>> {
        Box::pin(Storage::warnings(self))
    }
}

/// Any [`Storage`], cheap to clone. It is a `Storage` itself.
#[derive(Clone)]
pub struct SharedStorage {
    any: Arc<dyn Erased>,
    /// The same storage, whose claims and completions take less time than boxing their futures.
    memory: Option<MemoryStorage>,
}

impl SharedStorage {
    /// Shares `storage`.
    pub fn new(storage: impl Storage) -> Self {
        let any: &dyn Any = &storage;
        if let Some(shared) = any.downcast_ref::<Self>() {
            return Self::clone(shared);
        }
        let memory = any.downcast_ref().cloned();
        Self { any: Arc::new(storage), memory }
    }

    /// The storage itself, where it is an `S` and not a wrapper around one.
    #[cfg(feature = "_sql")]
    pub(crate) fn downcast_ref<S: Storage>(&self) -> Option<&S> {
        let any: &dyn Any = &*self.any;
        any.downcast_ref()
    }

    /// The result that a claim would replay, if this process has it at hand. `None` says nothing.
    pub(crate) fn replay_here(
        &self,
        key: &RecordKey,
        fingerprint: &Fingerprint,
    ) -> Option<Finished> {
        self.memory.as_ref()?.replay(key, fingerprint)
    }
}

impl std::fmt::Debug for SharedStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedStorage({})", self.any.backend())
    }
}

impl Storage for SharedStorage {
    fn backend(&self) -> &'static str {
        self.any.backend()
    }
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        match &self.memory {
            Some(memory) => Storage::claim(memory, claim).await,
            None => self.any.claim(claim).await,
        }
    }
    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        self.any.renew(renewals).await
    }
    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        match &self.memory {
            Some(memory) => Storage::complete(memory, complete).await,
            None => self.any.complete(complete).await,
        }
    }
    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        self.any.release(release).await
    }
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.any.load(key).await
    }
    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        self.any.purge(limit).await
    }
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.any.scan(after, limit).await
    }
    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        self.any.watch(key).await
    }
    async fn ping(&self) -> Result<(), StorageError> {
        self.any.ping().await
    }
    async fn warnings(&self) -> Result<Vec<StorageWarning>, StorageError> {
        self.any.warnings().await
    }
}
