//! What the expansion of `#[idempotent(tx = …)]` calls.
//!
//! The body borrows the transaction, so the expansion does not pass it to a function. It runs the
//! body between two calls of this module, and the lifetimes are those of the user's function.

use std::marker::PhantomData;
use std::ops::Deref;

use super::not_callable::NotCallable;
use crate::engine::Operation;

/// A transaction, or a connection inside one.
#[diagnostic::on_unimplemented(
    message = "a value of the type `{Self}` is not a database transaction\n\n= help: write `tx: &mut \
               sqlx::Transaction<'_, sqlx::Postgres>` (or `MySql`, `Sqlite`), or a connection inside one, and enable \
               the feature of its database",
    label = "`tx` names an argument that is a transaction"
)]
pub trait Transactional {}

#[cfg(feature = "_sql")]
#[diagnostic::do_not_recommend]
impl<C: crate::transaction::TransactionConnection + ?Sized> Transactional for C {}

/// Requires a transaction.
pub fn require_transaction<C: Transactional + ?Sized>(_transaction: &C) {}

/// Runs an operation whose body returns `R` in a transaction on `C`; see
/// [`Callable`](super::Callable).
#[derive(Debug)]
pub struct CallableWithin<R, F, P, C: ?Sized> {
    types: PhantomData<fn(F, P)>,
    connection: PhantomData<fn(*const C)>,
    otherwise: NotCallable<R>,
}

impl<R, F, P, C: ?Sized> CallableWithin<R, F, P, C> {
    /// For a call of `operation` on this connection, whose value is stored as `F` says.
    pub fn of(_operation: &Operation<P>, _form: &F, _connection: &C) -> Self {
        Self { types: PhantomData, connection: PhantomData, otherwise: NotCallable::new() }
    }
}

impl<R, F, P, C: ?Sized> Deref for CallableWithin<R, F, P, C> {
    type Target = NotCallable<R>;

    fn deref(&self) -> &NotCallable<R> {
        &self.otherwise
    }
}

#[cfg(feature = "_sql")]
mod within {
    use std::ops::ControlFlow;

    use super::CallableWithin;
    use crate::engine::transaction::{RunningInTransaction, begin};
    use crate::engine::{Operation, Outcome};
    use crate::macro_support::stored::form::StoredAs;
    use crate::policy::{Policy, Storable};
    use crate::transaction::TransactionConnection;

    /// A call whose body is to be run, and whose value is stored as `F` says.
    pub struct RunningWithin<F, P> {
        form: F,
        running: RunningInTransaction<P>,
    }

    impl<F, P> std::fmt::Debug for RunningWithin<F, P> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("RunningWithin")
        }
    }

    impl<V, E, F, P, C> CallableWithin<Result<V, E>, F, P, C>
    where
        F: StoredAs<V, Stored: Storable>,
        P: Policy<F::Stored, E>,
        C: TransactionConnection,
    {
        /// Claims in the transaction. Continues with the call whose body runs next, or breaks with
        /// the result of a call whose body does not run.
        pub async fn begin(
            &self,
            operation: Operation<P>,
            form: F,
            connection: &mut C,
        ) -> ControlFlow<Result<V, E>, RunningWithin<F, P>> {
            match begin(operation, connection).await {
                ControlFlow::Break(result) => ControlFlow::Break(restored(form, result)),
                ControlFlow::Continue(running) => {
                    ControlFlow::Continue(RunningWithin { form, running })
                }
            }
        }
    }

    impl<F, P> RunningWithin<F, P> {
        /// Runs the body.
        pub async fn body<B: Future>(&mut self, body: B) -> B::Output {
            self.running.body(body).await
        }

        /// Makes the outcome part of the transaction.
        pub async fn end<V, E, C>(self, connection: &mut C, result: Result<V, E>) -> Result<V, E>
        where
            F: StoredAs<V, Stored: Storable>,
            P: Policy<F::Stored, E>,
            C: TransactionConnection,
        {
            let Self { form, running } = self;
            let result = result.map(|value| form.store(value));
            restored(form, running.end(connection, result).await)
        }
    }

    fn restored<V, E, F: StoredAs<V>>(
        form: F,
        result: Result<Outcome<F::Stored>, E>,
    ) -> Result<V, E> {
        result.map(|Outcome { value, source }| form.restore(value, source))
    }
}

#[cfg(feature = "_sql")]
pub use within::RunningWithin;
