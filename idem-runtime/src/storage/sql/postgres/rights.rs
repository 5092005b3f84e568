//! What is tried of the user's rights beside the verbs.

use super::super::connections::Share;
use super::super::tried::Removes;
use super::verbs::Backend;
use crate::key::RecordKey;
use crate::storage::StorageError;

impl Removes for Backend {
    const HAS_RIGHTS: bool = true;

    /// A purge of no rows: no key names what it removes.
    async fn remove_expired(&self, _key: &RecordKey) -> Result<(), StorageError> {
        let none = 0_i64;
        let purge = &self.statements.purge;
        self.link.fetch(Share::Claims, purge, |query| query.bind(none)).await?;
        Ok(())
    }
}
