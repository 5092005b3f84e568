//! What a test stands on: records on one storage, and the handles of processes that share them.

use std::sync::Arc;
use std::time::Duration;

use idempotency::Idempotency;
use idempotency::record::OwnerId;
use idempotency::storage::{MemoryStorage, RedisStorage, SharedStorage, SqliteStorage};
use idempotency::testing::{Faults, FaultyStorage};
use tempfile::TempDir;

/// Far longer than anything takes, on a machine that is busy with other things.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a test on every storage of each function named.
macro_rules! on_every_storage {
    ($($name:ident),* $(,)?) => {
        mod on_memory {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::on_memory()).await;
            })*
        }

        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::on_sqlite().await).await;
            })*
        }

        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() {
                super::$name($crate::stage::Stage::on_redis().await).await;
            })*
        }
    };
}

/// Records on one storage, in a namespace of the test's own.
pub(crate) struct Stage {
    storage: SharedStorage,
    namespace: String,
    _dir: Option<TempDir>,
}

impl Stage {
    pub(crate) fn on_memory() -> Self {
        Self::on(SharedStorage::new(MemoryStorage::new()), None)
    }

    /// In a file of the test's own.
    pub(crate) async fn on_sqlite() -> Self {
        let dir = TempDir::new().unwrap();
        let url = format!("sqlite://{}", dir.path().join("records.db").display());
        let storage = SqliteStorage::connect(&url).await.unwrap();
        storage.migrate().await.unwrap();
        Self::on(SharedStorage::new(storage), Some(dir))
    }

    /// On the server that the tests share.
    pub(crate) async fn on_redis() -> Self {
        let storage = RedisStorage::connect(testkit::redis::shared().url()).await.unwrap();
        Self::on(SharedStorage::new(storage), None)
    }

    fn on(storage: SharedStorage, dir: Option<TempDir>) -> Self {
        Self { storage, namespace: format!("http-{}", OwnerId::random()), _dir: dir }
    }

    /// A handle of its own, as another process has it.
    pub(crate) fn idem(&self) -> Idempotency {
        self.process().0
    }

    /// Likewise, with what goes wrong between it and the storage.
    pub(crate) fn process(&self) -> (Idempotency, Faults) {
        let storage = FaultyStorage::new(self.storage.clone());
        let faults = storage.faults().clone();
        let builder = Idempotency::builder(storage).namespace(&self.namespace);
        (builder.build().unwrap(), faults)
    }

    /// What the storage holds of this stage.
    pub(crate) fn storage(&self) -> &SharedStorage {
        &self.storage
    }

    pub(crate) fn namespace(&self) -> &str {
        &self.namespace
    }
}

/// A count that handlers share with their test.
pub(crate) type Count = Arc<std::sync::atomic::AtomicUsize>;
