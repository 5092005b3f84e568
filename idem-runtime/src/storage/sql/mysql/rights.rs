//! What is tried of the user's rights beside the verbs.

use super::super::connections::Share;
use super::super::tried::Removes;
use super::asked;
use super::values::Value;
use super::verbs::Backend;
use crate::key::RecordKey;
use crate::storage::StorageError;

impl Removes for Backend {
    const HAS_RIGHTS: bool = true;

    async fn remove_expired(&self, key: &RecordKey) -> Result<(), StorageError> {
        let keys = asked::stored_keys(&[key.as_str().to_owned()]);
        let mut session = self.link.session(Share::Claims).await?;
        let remove = &self.statements.claims.remove_expired;
        let removed = session.execute(remove, &[Value::Text(&keys)]).await;
        session.give_back();
        removed?;
        Ok(())
    }
}
