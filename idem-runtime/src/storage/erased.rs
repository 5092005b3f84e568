//! The boxed form of [`Storage`], so that a handle holds any backend behind one pointer.

use std::pin::Pin;
use std::sync::Arc;

use super::{
    Claim, Claimed, Complete, Cursor, Page, Release, Renew, Storage, StorageError, Wakeup, Written,
};
use crate::key::RecordKey;
use crate::record::Record;

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

trait Erased: Send + Sync + 'static {
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
}

/// Any [`Storage`], behind one pointer that is cheap to clone. It is a `Storage` itself.
#[derive(Clone)]
pub struct SharedStorage(Arc<dyn Erased>);

impl SharedStorage {
    /// Shares `storage`.
    pub fn new(storage: impl Storage) -> Self {
        Self(Arc::new(storage))
    }
}

impl std::fmt::Debug for SharedStorage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedStorage({})", self.0.backend())
    }
}

impl Storage for SharedStorage {
    fn backend(&self) -> &'static str {
        self.0.backend()
    }
    async fn claim(&self, claim: &Claim) -> Result<Claimed, StorageError> {
        self.0.claim(claim).await
    }
    async fn renew(&self, renewals: &[Renew]) -> Vec<Result<Written, StorageError>> {
        self.0.renew(renewals).await
    }
    async fn complete(&self, complete: &Complete) -> Result<Written, StorageError> {
        self.0.complete(complete).await
    }
    async fn release(&self, release: &Release) -> Result<Written, StorageError> {
        self.0.release(release).await
    }
    async fn load(&self, key: &RecordKey) -> Result<Option<Record>, StorageError> {
        self.0.load(key).await
    }
    async fn purge(&self, limit: usize) -> Result<u64, StorageError> {
        self.0.purge(limit).await
    }
    async fn scan(&self, after: Option<&Cursor>, limit: usize) -> Result<Page, StorageError> {
        self.0.scan(after, limit).await
    }
    async fn watch(&self, key: &RecordKey) -> Result<Option<Wakeup>, StorageError> {
        self.0.watch(key).await
    }
}
