//! The record of the Redis storage.

use idem_runtime::storage::StorageErrorKind;
use idem_runtime::storage::redis::fuzzing::written_again;

/// What is read as a record is written as the same bytes; anything else is damaged or newer.
pub(crate) fn record(bytes: &[u8]) {
    match written_again(bytes) {
        Ok(again) => assert_eq!(again, bytes, "the record is not what the bytes say"),
        Err(error) => assert!(
            matches!(error.kind(), StorageErrorKind::Corrupt | StorageErrorKind::NewerVersion),
            "{error}"
        ),
    }
}
