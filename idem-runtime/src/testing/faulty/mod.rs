//! A storage that fails on demand, before the call or after it.
//!
//! A remote storage fails in two ways that matter: a lost request and a lost reply.
//! [`FaultyStorage`] causes both on any storage, scripted or at random from a seed, so that a
//! recovery test needs no network.
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
