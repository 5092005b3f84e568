//! Whether a failed transaction is tried again.

/// Whether a transaction that failed is tried again. Nothing of it was committed, unless it says
/// [`Never`](Self::Never).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// No: it would fail again, has taken effect already, or its outcome is unknown.
    Never,
    /// The database aborted the transaction: a deadlock, a serialization failure.
    #[cfg_attr(
        not(any(feature = "postgres", feature = "mysql")),
        expect(dead_code, reason = "SQLite aborts no transaction: it refuses statements")
    )]
    Aborted,
    /// The database refused a statement or the commit for now.
    Refused,
    /// A connection broke before the commit, and perhaps not the transaction's: then this says
    /// [`Never`](Self::Never).
    IfLost,
    /// The connection broke before the commit. The server rolls back when it notices.
    AfterLoss,
    /// Another runner has the key.
    WhenFree,
}
