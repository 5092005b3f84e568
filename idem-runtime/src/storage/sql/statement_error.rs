//! A failed statement: the error for its callers, and whether to run it again first.

use std::borrow::Cow;

use crate::storage::{StorageError, StorageErrorKind};

/// An error of a statement.
#[derive(Debug)]
pub(crate) struct StatementError {
    pub(super) retry: Rerun,
    pub(super) error: StorageError,
}

/// Whether a failed statement is run again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rerun {
    /// No: the callers get the error.
    Never,
    /// It was aborted in favour of another statement, and nothing changed: run the batch again.
    Together,
    /// A value was refused, and nothing changed: run the verbs one by one, so that only one fails.
    Individually,
    /// A lock was not acquired in time, and nothing changed: run the verbs one by one, so that
    /// verbs on unlocked rows succeed.
    Locked,
}

/// Whether a request had been sent when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SendState {
    /// No connection was acquired.
    Unsent,
    /// It was sent, or may have been.
    Sent,
}

impl SendState {
    /// The kind of an error after which the outcome is unknown if the request was sent.
    pub(super) fn kind(self) -> StorageErrorKind {
        match self {
            Self::Unsent => StorageErrorKind::NotApplied,
            Self::Sent => StorageErrorKind::Indeterminate,
        }
    }
}

impl StatementError {
    /// From an error of the database client.
    pub(super) fn new(
        retry: Rerun,
        kind: StorageErrorKind,
        message: impl Into<Cow<'static, str>>,
        source: sqlx::Error,
    ) -> Self {
        Self { retry, error: StorageError::new(kind, message).with_source(source) }
    }

    /// An error that the client did not report. The statement is not run again.
    pub(super) fn never(kind: StorageErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { retry: Rerun::Never, error: StorageError::new(kind, message) }
    }

    /// A reply that cannot be decoded: the statement may have taken effect.
    pub(super) fn unreadable(error: StorageError) -> Self {
        let message = "the database's reply cannot be decoded";
        let error = StorageError::new(StorageErrorKind::Indeterminate, message).with_source(error);
        Self { retry: Rerun::Never, error }
    }
}

impl From<StatementError> for StorageError {
    fn from(fault: StatementError) -> Self {
        fault.error
    }
}
