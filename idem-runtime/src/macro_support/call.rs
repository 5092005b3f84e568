//! A call whose body the runtime runs.

use std::marker::PhantomData;
use std::ops::Deref;

use futures_util::TryFutureExt;

use super::not_callable::NotCallable;
use super::stored::form::StoredAs;
use crate::engine::{Detached, Operation, Outcome};
use crate::error::Error;
use crate::policy::{Policy, Storable};

/// Runs an operation whose body returns `R`.
///
/// Method lookup finds `run` here if all bounds are met; else it goes on to [`NotCallable`], and
/// the `require_…` functions have reported the missing bound.
#[derive(Debug)]
pub struct Callable<R, F, P> {
    types: PhantomData<fn(F, P)>,
    otherwise: NotCallable<R>,
}

impl<R, F, P> Callable<R, F, P> {
    /// For a call of `operation`, whose value is stored as `F` says.
    pub fn of<B>(_operation: &Operation<P, B>, _form: &F) -> Self {
        Self { types: PhantomData, otherwise: NotCallable::new() }
    }
}

impl<V, E, F, P> Callable<Result<V, E>, F, P>
where
    F: StoredAs<V, Stored: Storable>,
    P: Policy<F::Stored, E>,
{
    /// Runs the body, or replays its result.
    pub fn run<B: Future<Output = Result<V, E>>>(
        &self,
        operation: Operation<P>,
        form: F,
        body: B,
    ) -> impl Future<Output = Result<V, E>> + use<V, E, F, P, B> {
        let outcome = operation.run_with_outcome(body.map_ok(move |value| form.store(value)));
        outcome.map_ok(move |Outcome { value, source }| form.restore(value, source))
    }
}

impl<V, E, F, P> Callable<Result<V, E>, F, P>
where
    F: StoredAs<V, Stored: Storable + Send + 'static> + Send + 'static,
    E: Send + 'static,
    P: Policy<F::Stored, E> + Send + Sync + 'static,
{
    /// Runs the body, to completion without its caller if need be, or replays its result.
    pub fn finish<B: Future<Output = Result<V, E>> + Send + 'static>(
        &self,
        operation: Operation<P, Detached>,
        form: F,
        body: B,
    ) -> impl Future<Output = Result<V, E>> + Send + use<V, E, F, P, B> {
        let outcome = operation.run_with_outcome(body.map_ok(move |value| form.store(value)));
        outcome.map_ok(move |Outcome { value, source }| form.restore(value, source))
    }
}

impl<R, F, P> Deref for Callable<R, F, P> {
    type Target = NotCallable<R>;

    fn deref(&self) -> &NotCallable<R> {
        &self.otherwise
    }
}

/// The value of a `return` that is never reached. It tells the compiler the type of an async block.
pub fn fake_return<T>() -> T {
    std::process::abort()
}

/// Gives a closure without types the ones it is called with.
pub fn predicate<T, F: Fn(&T) -> bool>(matches: F) -> F {
    matches
}

/// Gives the closure of `map_err` the type that it is called with.
pub fn error_map<E, F: Fn(Error) -> E>(map: F) -> F {
    map
}
