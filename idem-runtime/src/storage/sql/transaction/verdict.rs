//! The state of a transaction before and after its `COMMIT`.

use crate::storage::StorageError;

/// The outcome of a `COMMIT` that failed.
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

/// The outcome of a `COMMIT` whose reply was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(any(feature = "postgres", feature = "mysql")),
    expect(dead_code, reason = "SQLite always answers a commit")
)]
pub(crate) enum CommitVerdict {
    Committed,
    RolledBack,
    /// The transaction is still open: ask again.
    Open,
    /// The outcome cannot be determined, now or later.
    Unknown,
}
