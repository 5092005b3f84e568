//! How far a transaction is kept apart from others.

/// How far a transaction is kept apart from others, for
/// [`TransactionBuilder::isolation`](crate::transaction::TransactionBuilder::isolation).
///
/// | | Postgres | MySQL, MariaDB | SQLite |
/// |---|---|---|---|
/// | where nothing is said | the server's, read committed as it comes | the server's, repeatable read as it comes | serializable, `BEGIN IMMEDIATE` |
/// | said | that level | that level | serializable, which it always is |
///
/// What each of them means for calls is in `docs/exactly-once.md` of the repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// The transaction sees what was committed before its first statement.
    RepeatableRead,
    /// What transactions do is as if they came one after the other. The database aborts those with
    /// which it would not be.
    Serializable,
}
