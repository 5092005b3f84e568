//! What redb's errors mean to a caller.

use std::error::Error;

use idempotency::storage::{StorageError, StorageErrorKind};

/// Before the commit nothing has changed. After a failed flush this is redb's answer to every write until the file is opened again.
pub(crate) fn not_applied(error: impl Error + Send + Sync + 'static) -> StorageError {
    StorageError::new(StorageErrorKind::NotApplied, "the file cannot be read or written")
        .with_source(error)
}

/// A commit that fails may be on the disk, or not: the next one to open the file will know.
pub(crate) fn unknown(error: impl Error + Send + Sync + 'static) -> StorageError {
    StorageError::new(StorageErrorKind::Indeterminate, "the commit has failed").with_source(error)
}

pub(crate) fn cannot_open(error: impl Error + Send + Sync + 'static) -> StorageError {
    StorageError::new(StorageErrorKind::Configuration, "the file cannot be opened")
        .with_source(error)
}

/// The thread has gone in the middle.
pub(crate) fn broken_off(error: tokio::task::JoinError) -> StorageError {
    StorageError::new(StorageErrorKind::Indeterminate, "the call was broken off").with_source(error)
}
