//! What is tried of the user's rights: nothing. Who may write one row of a file may write all, and a claim writes one.

use super::super::tried::Removes;
use super::verbs::Backend;
use crate::key::RecordKey;
use crate::storage::StorageError;

impl Removes for Backend {
    const HAS_RIGHTS: bool = false;

    async fn remove_expired(&self, _key: &RecordKey) -> Result<(), StorageError> {
        Ok(())
    }
}
