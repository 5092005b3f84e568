//! Functions that return `Result<Outcome<T>, E>`: their callers are told where the result comes from.
//!
//! What is stored and replayed is the `T`. Which functions these are the compiler finds out, not the macro: an alias of the type works, and so does
//! a type of the user's own that has the same name. Each of the two is a choice between methods of one name, as [`Call`] and [`NotCallable`](super::NotCallable) are.

use std::marker::PhantomData;
use std::ops::Deref;

use super::{Call, Detached, Operation, Replayable};
use crate::engine::Outcome;
use crate::policy::{Policy, Storable};

/// An [`Outcome`] itself is never stored.
#[diagnostic::do_not_recommend]
impl<T: Replayable> Replayable for Outcome<T> {}

impl<T, E, P> Call<Result<Outcome<T>, E>, P>
where
    T: Storable,
    P: Policy<T, E>,
{
    /// Runs the body, or replays its result, and says which.
    pub fn run<F: Future<Output = Result<Outcome<T>, E>>>(
        &self,
        operation: Operation<P>,
        body: F,
    ) -> impl Future<Output = Result<Outcome<T>, E>> + use<T, E, P, F> {
        operation.run_with_outcome(value_of(body))
    }
}

impl<T, E, P> Call<Result<Outcome<T>, E>, P>
where
    T: Storable + Send + 'static,
    E: Send + 'static,
    P: Policy<T, E> + Send + Sync + 'static,
{
    /// Runs the body, to its end without its caller if need be, or replays its result, and says which.
    pub fn finish<F: Future<Output = Result<Outcome<T>, E>> + Send + 'static>(
        &self,
        operation: Operation<P, Detached>,
        body: F,
    ) -> impl Future<Output = Result<Outcome<T>, E>> + Send + use<T, E, P, F> {
        operation.run_with_outcome(value_of(body))
    }
}

/// What the body made. Where that comes from is the engine's to say.
async fn value_of<T, E>(body: impl Future<Output = Result<Outcome<T>, E>>) -> Result<T, E> {
    body.await.map(Outcome::into_value)
}

/// What is stored of the value of an `R`.
#[derive(Debug)]
pub struct Stored<R>(Whole<R>);

/// The value itself, where it is no [`Outcome`].
#[derive(Debug)]
pub struct Whole<R>(PhantomData<fn() -> R>);

impl<R> Stored<R> {
    /// For a function that returns `R`.
    #[expect(clippy::new_without_default, reason = "called by expansions alone")]
    pub fn new() -> Self {
        Self(Whole(PhantomData))
    }
}

impl<T, E> Stored<Result<Outcome<T>, E>> {
    /// Gives a closure without types the ones it is called with.
    pub fn predicate<F: Fn(&T) -> bool>(&self, matches: F) -> F {
        matches
    }
}

impl<R: super::Returned> Whole<R> {
    /// Likewise.
    pub fn predicate<F: Fn(&R::Value) -> bool>(&self, matches: F) -> F {
        matches
    }
}

impl<R> Deref for Stored<R> {
    type Target = Whole<R>;

    fn deref(&self) -> &Whole<R> {
        &self.0
    }
}
