//! The identity of a call.

use std::borrow::Cow;

use super::record::RecordKey;
use super::text::Key;
use crate::error::Error;
use crate::fingerprint::Fingerprint;

/// The identity of a call, by the user's names and by the storage's.
pub(crate) struct CallName {
    pub(crate) operation: Cow<'static, str>,
    pub(crate) key: Key,
    pub(crate) tenant: Option<String>,
    pub(crate) record: RecordKey,
    pub(crate) fingerprint: Fingerprint,
}

impl Error {
    /// Adds the identity of the call.
    pub(crate) fn of_call(self, name: &CallName) -> Self {
        self.on_operation(&name.operation)
            .with_key(name.key.as_str())
            .with_record(name.record.name())
    }
}
