//! Errors of storages.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use crate::chain;

/// Why a verb of a storage failed.
#[derive(Clone)]
pub struct StorageError {
    kind: StorageErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// What a caller may conclude from a [`StorageError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum StorageErrorKind {
    /// Nothing changed: the request was not sent, or the server refused it for now. Retry with the
    /// same owner.
    NotApplied,
    /// The request may have been applied: the reply was lost. Retry with the same owner.
    Indeterminate,
    /// Nothing changed and a retry will not help soon: the storage is at its capacity.
    Full,
    /// The record cannot be read; it was left as it is.
    Corrupt,
    /// The record was written by a newer version; it was left as it is.
    NewerVersion,
    /// Wrong address, wrong password, server too old: a person has to change a setting.
    Configuration,
}

impl StorageError {
    /// An error of `kind`. The text says what failed: lowercase, no full stop, no payload, no key,
    /// no password.
    pub fn new(kind: StorageErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// Adds the error that caused it.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// With another text.
    #[cfg(feature = "_sql")]
    pub(crate) fn with_text(mut self, text: String) -> Self {
        self.message = text.into();
        self
    }

    /// The error of the database's client that caused it. Its text repeats its source's, so it is
    /// not part of the [chain].
    #[cfg(feature = "_sql")]
    pub(crate) fn client(&self) -> Option<&sqlx::Error> {
        self.source.as_deref()?.downcast_ref()
    }

    /// What a caller may conclude.
    pub fn kind(&self) -> StorageErrorKind {
        self.kind
    }

    /// Whether the same request with the same owner may succeed a moment later.
    pub fn is_transient(&self) -> bool {
        matches!(self.kind, StorageErrorKind::NotApplied | StorageErrorKind::Indeterminate)
    }
}

/// Shows the cause's text alone: databases put rows and keys into other fields of their errors.
impl fmt::Debug for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("StorageError");
        debug.field("kind", &self.kind).field("message", &self.message);
        if let Some(source) = &self.source {
            debug.field("source", &format_args!("{source}"));
        }
        debug.finish()
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for StorageError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().and_then(|source| chain::next(&self.message, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Like a database error that names the row in its details.
    #[derive(Debug, thiserror::Error)]
    #[error("a row violates a constraint")]
    struct Detailed(&'static str);

    #[test]
    fn debug_shows_no_more_of_a_cause_than_its_text() {
        let error = StorageError::new(StorageErrorKind::Corrupt, "nothing was claimed");
        let shown = format!("{:?}", error.with_source(Detailed("key 4242-secret-4242")));
        assert!(shown.contains("a row violates a constraint"), "{shown}");
        assert!(!shown.contains("secret"), "{shown}");
    }
}
