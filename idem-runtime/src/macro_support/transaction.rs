//! What the expansion of `#[idempotent(tx = …)]` calls.
//!
//! The body borrows the transaction, so it is neither a closure nor handed over: the expansion runs it between two calls of its own, and the
//! lifetimes are those that the user's function has.

use std::future::Pending;
use std::marker::PhantomData;
use std::ops::Deref;

use super::Operation;

/// A transaction, or a connection inside one.
#[diagnostic::on_unimplemented(
    message = "a value of the type `{Self}` is no database transaction\n\n= help: give the function `tx: &mut \
               sqlx::Transaction<'_, sqlx::Postgres>` (or `MySql`, `Sqlite`), or a connection inside one, and switch the feature of its \
               database on",
    label = "`tx` names an argument that is a transaction"
)]
pub trait Transactional {}

#[cfg(feature = "_sql")]
#[diagnostic::do_not_recommend]
impl<C: crate::transaction::TransactionConnection + ?Sized> Transactional for C {}

/// Asks for a transaction.
pub fn require_transaction<C: Transactional + ?Sized>(_transaction: &C) {}

/// Whether there is a body to run.
#[derive(Debug)]
pub enum Turn<R, X> {
    /// There is not: this is the result.
    Ended(R),
    /// There is.
    Run(X),
}

/// Runs an operation whose body returns `R` in a transaction on `C`; see [`Call`](super::Call).
#[derive(Debug)]
pub struct CallWithin<R, P, C: ?Sized> {
    policy: PhantomData<fn(P)>,
    connection: PhantomData<fn(*const C)>,
    otherwise: NotCallableWithin<R>,
}

/// Where the bounds of [`CallWithin`] are not met.
#[derive(Debug)]
pub struct NotCallableWithin<R>(PhantomData<fn() -> R>);

impl<R, P, C: ?Sized> CallWithin<R, P, C> {
    /// For a call of `operation` on this connection.
    pub fn of(_operation: &Operation<P>, _connection: &C) -> Self {
        Self {
            policy: PhantomData,
            connection: PhantomData,
            otherwise: NotCallableWithin(PhantomData),
        }
    }
}

impl<R, P, C: ?Sized> Deref for CallWithin<R, P, C> {
    type Target = NotCallableWithin<R>;

    fn deref(&self) -> &NotCallableWithin<R> {
        &self.otherwise
    }
}

impl<R> NotCallableWithin<R> {
    /// Stands in for the method of [`CallWithin`], but is never compiled: there are errors already.
    pub fn begin<O, C: ?Sized>(
        &self,
        _operation: O,
        _connection: &mut C,
    ) -> Pending<Turn<R, NeverRunning<R>>> {
        const { panic!("a bound of `CallWithin` was not asked for before") }
    }
}

/// What [`NotCallableWithin`] would give.
#[derive(Debug)]
pub struct NeverRunning<R>(PhantomData<fn() -> R>);

impl<R> NeverRunning<R> {
    /// Never called.
    pub fn body<F: Future<Output = R>>(&mut self, body: F) -> F {
        body
    }

    /// Never called.
    pub fn end<C: ?Sized>(self, _connection: &mut C, result: R) -> std::future::Ready<R> {
        std::future::ready(result)
    }
}

#[cfg(feature = "_sql")]
mod within {
    use super::{CallWithin, Turn};
    use crate::engine::transaction::{self as engine, begin};
    use crate::engine::{Operation, Outcome};
    use crate::policy::{Policy, Storable};
    use crate::transaction::TransactionConnection;

    /// A call whose body is to be run.
    pub struct Running<P>(engine::Running<P>);

    impl<P> std::fmt::Debug for Running<P> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("Running")
        }
    }

    impl<T, E, P, C> CallWithin<Result<T, E>, P, C>
    where
        T: Storable,
        P: Policy<T, E>,
        C: TransactionConnection,
    {
        /// Claims in the transaction.
        pub async fn begin(
            &self,
            operation: Operation<P>,
            connection: &mut C,
        ) -> Turn<Result<T, E>, Running<P>> {
            match begin(operation, connection).await {
                engine::Turn::Ended(result) => Turn::Ended(result.map(Outcome::into_value)),
                engine::Turn::Run(running) => Turn::Run(Running(running)),
            }
        }
    }

    impl<P> Running<P> {
        /// Runs the body.
        pub async fn body<F: Future>(&mut self, body: F) -> F::Output {
            self.0.body(body).await
        }

        /// Makes the end part of the transaction.
        pub async fn end<T, E, C>(self, connection: &mut C, result: Result<T, E>) -> Result<T, E>
        where
            T: Storable,
            P: Policy<T, E>,
            C: TransactionConnection,
        {
            self.0.end(connection, result).await.map(Outcome::into_value)
        }
    }

    /// A call whose body is to be run, and whose caller is told where the result comes from.
    pub struct RunningWithOutcome<P>(engine::Running<P>);

    impl<P> std::fmt::Debug for RunningWithOutcome<P> {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("RunningWithOutcome")
        }
    }

    impl<T, E, P, C> CallWithin<Result<Outcome<T>, E>, P, C>
    where
        T: Storable,
        P: Policy<T, E>,
        C: TransactionConnection,
    {
        /// Claims in the transaction.
        pub async fn begin(
            &self,
            operation: Operation<P>,
            connection: &mut C,
        ) -> Turn<Result<Outcome<T>, E>, RunningWithOutcome<P>> {
            match begin(operation, connection).await {
                engine::Turn::Ended(result) => Turn::Ended(result),
                engine::Turn::Run(running) => Turn::Run(RunningWithOutcome(running)),
            }
        }
    }

    impl<P> RunningWithOutcome<P> {
        /// Runs the body.
        pub async fn body<F: Future>(&mut self, body: F) -> F::Output {
            self.0.body(body).await
        }

        /// Makes the end part of the transaction.
        pub async fn end<T, E, C>(
            self,
            connection: &mut C,
            result: Result<Outcome<T>, E>,
        ) -> Result<Outcome<T>, E>
        where
            T: Storable,
            P: Policy<T, E>,
            C: TransactionConnection,
        {
            self.0.end(connection, result.map(Outcome::into_value)).await
        }
    }
}

#[cfg(feature = "_sql")]
pub use within::{Running, RunningWithOutcome};
