//! What one call is about.

use std::borrow::Cow;

use super::record::RecordKey;
use super::text::Key;
use crate::error::Error;
use crate::fingerprint::Fingerprint;

/// What a call is about, as the user gave it and as the storage knows it.
pub(crate) struct CallName {
    pub(crate) operation: Cow<'static, str>,
    pub(crate) key: Key,
    pub(crate) tenant: Option<String>,
    pub(crate) record: RecordKey,
    pub(crate) fingerprint: Fingerprint,
}

impl Error {
    /// Says which call it is about.
    pub(crate) fn of_call(self, name: &CallName) -> Self {
        self.on_operation(&name.operation)
            .with_key(name.key.as_str())
            .with_record(name.record.name())
    }
}
