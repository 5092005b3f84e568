//! The isolation level of a transaction.

/// The isolation level of a transaction, for
/// [`TransactionBuilder::isolation`](crate::transaction::TransactionBuilder::isolation).
///
/// | | Postgres | MySQL, MariaDB | SQLite |
/// |---|---|---|---|
/// | unset | the server's default, read committed unless configured | the server's default, repeatable read unless configured | serializable, `BEGIN IMMEDIATE` |
/// | set | that level | that level | always serializable |
///
/// `docs/exactly-once.md` of the repository describes what each level means for calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    ReadCommitted,
    /// The transaction sees what was committed before its first statement.
    RepeatableRead,
    /// Transactions behave as if they ran one after the other. The database aborts a transaction
    /// that would break this.
    Serializable,
}
