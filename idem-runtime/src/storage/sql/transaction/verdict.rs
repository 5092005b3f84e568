//! What is known of a transaction around its `COMMIT`.

use crate::storage::StorageError;

/// What became of a `COMMIT` that gave an error.
#[derive(Debug)]
pub(crate) enum Uncommitted {
    /// The database has rolled the transaction back.
    Refused(StorageError),
    /// The outcome is unknown.
    Unanswered(StorageError),
}

/// The state of a transaction just before its `COMMIT`.
#[derive(Debug)]
pub(crate) enum BeforeCommit<W> {
    /// It is open. Its witness, if it has one, recognizes it later.
    Open(Option<W>),
    /// It has ended already, and some of what was done in it may be committed.
    Ended(StorageError),
}

/// What the database says of a transaction whose `COMMIT` was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    expect(dead_code, reason = "SQLite always answers a commit")
)]
pub(crate) enum CommitVerdict {
    Committed,
    RolledBack,
    /// It has not ended: ask again.
    Open,
    /// The outcome cannot be found out, and asking again does not help.
    Unknown,
}
