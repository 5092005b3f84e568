//! What an error of the database means for a batch and for its callers.

use crate::storage::{StorageError, StorageErrorKind};

/// An error of a statement: what its callers are told, and what is to be done before that.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) then: Then,
    pub(super) error: StorageError,
}

/// What to do about a failed statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Tell the callers.
    Tell,
    /// It lost against another statement and nothing changed: send it again.
    Again,
    /// A value was refused and nothing changed: send the verbs one by one, so that one does not fail the others.
    Split,
    /// It waited too long for a lock that others hold, and nothing changed: send the verbs one by one, so that those whose rows are not
    /// locked go on.
    Locked,
}

impl Fault {
    /// A fault of this kind, from this error of the database.
    pub(super) fn new(
        then: Then,
        kind: StorageErrorKind,
        message: impl Into<std::borrow::Cow<'static, str>>,
        source: sqlx::Error,
    ) -> Self {
        Self { then, error: StorageError::new(kind, message).with_source(source) }
    }

    /// A fault of an answer that cannot be read: what was asked for may have happened.
    pub(super) fn unreadable(error: StorageError) -> Self {
        let message = "the database gave an answer that cannot be read";
        let error = StorageError::new(StorageErrorKind::Indeterminate, message).with_source(error);
        Self { then: Then::Tell, error }
    }
}

impl From<Fault> for StorageError {
    fn from(fault: Fault) -> Self {
        fault.error
    }
}
