//! The transaction that a body is lent.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use sqlx::Transaction;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::TransactionDatabase;

/// The transaction that a body of [`Idempotency::transaction`](crate::Idempotency::transaction) is
/// given, for as long as it runs: a [`sqlx::Transaction`]. The body gives it back when it drops it,
/// as it does at its end.
///
/// It is a value and not a reference, since the compiler cannot see yet that a closure's future is
/// `Send` where the closure is lent something: with a value the future can be spawned, and awaited
/// in an axum handler.
#[must_use = "what a transaction does is done by its statements"]
pub struct Tx<DB: TransactionDatabase>(OwnedMutexGuard<Transaction<'static, DB>>);

/// A transaction that can be lent, and had back.
pub(crate) struct Lender<DB: TransactionDatabase>(Arc<Mutex<Transaction<'static, DB>>>);

impl<DB: TransactionDatabase> Lender<DB> {
    pub(crate) fn new(transaction: Transaction<'static, DB>) -> Self {
        Self(Arc::new(Mutex::new(transaction)))
    }

    pub(crate) async fn lend(&self) -> Tx<DB> {
        Tx(Arc::clone(&self.0).lock_owned().await)
    }

    /// The transaction, unless somebody keeps it.
    pub(crate) fn take_back(self) -> Option<Transaction<'static, DB>> {
        Arc::into_inner(self.0).map(Mutex::into_inner)
    }
}

impl<DB: TransactionDatabase> Deref for Tx<DB> {
    type Target = Transaction<'static, DB>;

    fn deref(&self) -> &Self::Target {
        &self.0
    }
}

impl<DB: TransactionDatabase> DerefMut for Tx<DB> {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.0
    }
}

impl<DB: TransactionDatabase> fmt::Debug for Tx<DB> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tx")
    }
}
