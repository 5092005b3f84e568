//! What method lookup finds if a bound of a call is not met: methods that are never compiled,
//! because the `require_…` functions have reported the bound.

use std::future::{Pending, Ready, ready};
use std::marker::PhantomData;
use std::ops::ControlFlow;

/// A call of a function that returns `R`, of which a bound is not met.
#[derive(Debug)]
pub struct NotCallable<R>(PhantomData<fn() -> R>);

impl<R> NotCallable<R> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }

    /// In the place of `Callable::run`.
    pub fn run<O, F, B>(&self, _operation: O, _form: F, _body: B) -> Pending<R> {
        const { panic!("a bound of `Callable` was not required before") }
    }

    /// In the place of `Callable::finish`.
    pub fn finish<O, F, B>(&self, _operation: O, _form: F, _body: B) -> Pending<R> {
        const { panic!("a bound of `Callable` was not required before") }
    }

    /// In the place of `CallableWithin::begin`.
    pub fn begin<O, F, C: ?Sized>(
        &self,
        _operation: O,
        _form: F,
        _connection: &mut C,
    ) -> Pending<ControlFlow<R, NeverRunning<R>>> {
        const { panic!("a bound of `CallableWithin` was not required before") }
    }
}

/// What [`NotCallable::begin`] would give.
#[derive(Debug)]
pub struct NeverRunning<R>(PhantomData<fn() -> R>);

impl<R> NeverRunning<R> {
    /// Never called.
    pub fn body<F: Future<Output = R>>(&mut self, body: F) -> F {
        body
    }

    /// Never called.
    pub fn end<C: ?Sized>(self, _connection: &mut C, result: R) -> Ready<R> {
        ready(result)
    }
}
