//! A storage that fails when it is told to, before the call or after it.
//!
//! A remote storage fails in two ways that matter: the request did not arrive, or the reply did not. [`FaultyStorage`] makes both happen
//! on any storage, by script or at random from a seed, so that a test of the recovery needs no network.
//!
//! ```
//! # use idem_runtime as idempotency;
//! use idempotency::storage::{MemoryStorage, Storage, StorageErrorKind};
//! use idempotency::testing::{Fault, FaultyStorage, Verb};
//!
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let storage = FaultyStorage::new(MemoryStorage::new());
//! storage.faults().next(Verb::Purge, Fault::Refuse);
//!
//! let refused = storage.purge(10).await.unwrap_err();
//! assert_eq!(refused.kind(), StorageErrorKind::NotApplied);
//! assert!(storage.purge(10).await.is_ok());
//! assert_eq!(storage.faults().calls(Verb::Purge), 2);
//! # });
//! # Ok::<(), std::io::Error>(())
//! ```

mod faults;
mod storage;

pub use faults::{Fault, Faults, Verb};
pub use storage::FaultyStorage;

#[cfg(test)]
mod tests;
