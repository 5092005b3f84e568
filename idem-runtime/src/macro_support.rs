//! The functions that expansions of `#[idempotent]` call. Not public API; exempt from semver.
//!
//! Two rules hold here:
//!
//! - Nothing fails early: an error in a key or a fingerprint is kept, and the call reports it.
//! - A bound that a user's type does not meet is one error, at the type. The expansion requires each bound
//!   alone (`require_…`), with a trait whose message says what to do. [`Callable`] needs all of them together; if
//!   one is missing, method lookup goes on to [`NotCallable`], so that there is no second error.

#![doc(hidden)]

use std::any::type_name;
use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::future::Pending;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use futures_util::TryFutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Method lookup passes over a type whose bounds are not met and goes on with the next one, to
/// which it derefs.
macro_rules! otherwise {
    ($([$($generics:tt)*] $choice:ty => $next:ty;)*) => {$(
        impl<$($generics)*> Deref for $choice {
            type Target = $next;

            fn deref(&self) -> &$next {
                &self.0
            }
        }
    )*};
}

pub mod argument;
mod instance;
pub mod stored;
pub mod transaction;

pub use std::ops::ControlFlow;
pub use std::time::Duration;

#[cfg(feature = "json")]
pub use crate::codec::Json;
#[cfg(feature = "msgpack")]
pub use crate::codec::MsgPack;
use crate::engine::Outcome;
pub use crate::engine::{Detached, Idempotency, Operation, handle};
pub use crate::error::Error;
pub use crate::fingerprint::Fingerprint;
pub use crate::key::{Key, KeyBuilder};
use crate::policy::{Policy, Storable};
pub use crate::policy::{ReleaseErrors, ReplayErrors, StoreErrors, StoreErrorsAs};
pub use crate::record::CrashPolicy;
pub use argument::{Arguments, Input, Opaque, State, Subject};
pub use instance::instance;
use stored::form::StoredAs;
pub use stored::{Inside, Part, Value, store_if, stored_as, wrapper};
pub use transaction::{CallableWithin, Transactional, require_transaction};

/// A call of the operation `name` on a handle that may be missing, with a fingerprint that may
/// have failed: [`Operation::run`] reports either.
pub fn operation(
    handle: Result<Idempotency, Error>,
    name: impl Into<Cow<'static, str>>,
    fingerprint: Result<Fingerprint, Error>,
) -> Operation {
    Operation::new(handle.map(|idem| idem.0), name.into()).identified(fingerprint)
}

/// A prefix and the hash of the arguments.
pub fn prefixed_key(prefix: &str, fingerprint: &Result<Fingerprint, Error>) -> Result<Key, Error> {
    Key::from_fingerprint(prefix, fingerprint.clone()?)
}

/// A key of a template.
#[derive(Debug)]
#[must_use]
pub struct Template(Result<KeyBuilder, Error>);

impl Template {
    /// Begins a key of about `capacity` bytes.
    pub fn new(capacity: usize) -> Self {
        Self(Ok(KeyBuilder::new(capacity)))
    }

    /// Appends a literal part.
    pub fn literal(self, literal: &str) -> Self {
        Self(self.0.map(|key| key.literal(literal)))
    }

    /// Appends the value of `placeholder`.
    pub fn value<T: KeyValue + ?Sized>(self, placeholder: &str, value: &T) -> Self {
        Self(self.0.and_then(|key| key.value(placeholder, value)))
    }

    /// The key.
    pub fn finish(self) -> Result<Key, Error> {
        self.0.and_then(KeyBuilder::finish)
    }
}

/// A value in a key template.
#[diagnostic::on_unimplemented(
    message = "a value of the type `{Self}` cannot be put into the key\n\n= help: name a field that is `Display`, \
               for example `{{req.order_id}}`, or implement `Display` for the type",
    label = "values in a key are written with `Display`"
)]
pub trait KeyValue: Display {}

#[diagnostic::do_not_recommend]
impl<T: Display + ?Sized> KeyValue for T {}

/// The value of the option `tenant`, for an operation.
pub fn tenant<T: KeyValue + ?Sized>(tenant: &T) -> String {
    tenant.to_string()
}

/// The value of the option `with`, for an operation.
pub fn handle_of<T: AsHandle + ?Sized>(handle: &T) -> Result<Idempotency, Error> {
    handle.as_handle()
}

/// A value of the option `with`.
#[diagnostic::on_unimplemented(
    message = "a value of the type `{Self}` is no handle\n\n= help: give the field or the argument that holds an \
               `Idempotency`, for example `with = self.idempotency`",
    label = "`with` takes an `Idempotency`, or a reference to one"
)]
pub trait AsHandle {
    /// The handle, cloned.
    fn as_handle(&self) -> Result<Idempotency, Error>;
}

impl AsHandle for Idempotency {
    fn as_handle(&self) -> Result<Idempotency, Error> {
        Ok(self.clone())
    }
}

impl AsHandle for Result<Idempotency, Error> {
    fn as_handle(&self) -> Result<Idempotency, Error> {
        self.clone()
    }
}

impl<T: AsHandle + ?Sized> AsHandle for &T {
    fn as_handle(&self) -> Result<Idempotency, Error> {
        (**self).as_handle()
    }
}

impl<T: AsHandle + ?Sized> AsHandle for Arc<T> {
    fn as_handle(&self) -> Result<Idempotency, Error> {
        (**self).as_handle()
    }
}

/// The value's and the error's types of a `Result`, however the user's signature calls it.
#[diagnostic::on_unimplemented(
    message = "`#[idempotent]` needs a function that returns a `Result`, not `{Self}`\n\n= help: return `Result<T, E>` \
               with `E: From<idempotency::Error>`, so that a refused duplicate can say so",
    label = "this is not a `Result`"
)]
pub trait Returned {
    /// `T` of `Result<T, E>`.
    type Value;
    /// `E` of `Result<T, E>`.
    type Error;
}

impl<T, E> Returned for Result<T, E> {
    type Value = T;
    type Error = E;
}

/// An error that `on_error = "replay"` can give back.
#[diagnostic::on_unimplemented(
    message = "an error of the type `{Self}` cannot be replayed\n\n= help: derive `serde::Serialize` and \
               `serde::Deserialize` for it, or store its text alone: `on_error = \"store\"`",
    label = "`on_error = \"replay\"` takes errors that are `Serialize` and `DeserializeOwned`"
)]
pub trait ReplayableError: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned> ReplayableError for E {}

/// An error type that can carry this crate's.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made of `idempotency::Error`\n\n= help: implement `From<idempotency::Error>` for it, \
               or give the attribute a function: `map_err = |error| …`",
    label = "a refused duplicate returns this error"
)]
pub trait FromIdempotency: From<Error> {}

#[diagnostic::do_not_recommend]
impl<E: From<Error>> FromIdempotency for E {}

/// Asks for a `Result`.
pub fn require_result<R: Returned>() {}

/// Asks for an error that can be replayed.
pub fn require_replayed_error<E: ReplayableError>() {}

/// Asks for an error that can carry this crate's.
pub fn require_error<E: FromIdempotency>() {}

/// An argument that a body may keep when its caller is dropped.
#[diagnostic::on_unimplemented(
    message = "an argument of the type `{Self}` cannot outlive the caller\n\n= help: with `on_cancel = \"finish\"` arguments \
               have to be `Send` and `'static`: take an `Arc` instead of an `Rc`, or leave the option out",
    label = "the body may go on in a task of its own"
)]
pub trait Owned: Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Owned for T {}

/// Asks for an argument that may outlive the caller.
pub fn require_owned<T: Owned>(_argument: &T) {}

/// A result or error that a task may have made.
#[diagnostic::on_unimplemented(
    message = "a `{Self}` cannot be the result or the error of a body that may outlive its caller\n\n= help: with \
               `on_cancel = \"finish\"` both have to be `Send` and `'static`, or leave the option out",
    label = "the body may go on in a task of its own"
)]
pub trait Sent: Send + 'static {}

#[diagnostic::do_not_recommend]
impl<T: Send + 'static> Sent for T {}

/// Asks for a result or error that a task may have made.
pub fn require_sent<T: Sent>() {}

/// Runs an operation whose body returns `R`.
///
/// `run` is found here where all bounds are met, which is what the `require_…` functions have made
/// sure of; else it is found at [`NotCallable`], behind errors that have been reported.
#[derive(Debug)]
pub struct Callable<R, F, P> {
    types: PhantomData<fn(F, P)>,
    otherwise: NotCallable<R>,
}

/// Where the bounds of [`Callable`] are not met.
#[derive(Debug)]
pub struct NotCallable<R>(PhantomData<fn() -> R>);

impl<R, F, P> Callable<R, F, P> {
    /// For a call of `operation`, whose value is stored as `F` says.
    pub fn of<B>(_operation: &Operation<P, B>, _form: &F) -> Self {
        Self { types: PhantomData, otherwise: NotCallable(PhantomData) }
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

impl<R> NotCallable<R> {
    /// Stands in for the method of [`Callable`], but is never compiled: there are errors already.
    pub fn run<O, F, B>(&self, _operation: O, _form: F, _body: B) -> Pending<R> {
        const { panic!("a bound of `Callable` was not asked for before") }
    }

    /// Stands in for the other one.
    pub fn finish<O, F, B>(&self, _operation: O, _form: F, _body: B) -> Pending<R> {
        const { panic!("a bound of `Callable` was not asked for before") }
    }
}

impl<R, F, P> Deref for Callable<R, F, P> {
    type Target = NotCallable<R>;

    fn deref(&self) -> &NotCallable<R> {
        &self.otherwise
    }
}

/// Stands behind a `return` that is never reached, and so tells the compiler the type of an async
/// block.
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

/// The stored text of the error in `R`: its `Display` text, else its `Debug` text, else its type's
/// name.
///
/// `function` is found at the first of these types whose bounds are met: method lookup skips the
/// others and follows `Deref`. No bound is required, and in a generic function the declared bounds
/// count.
#[derive(Debug)]
pub struct ErrorText<R>(DebugText<R>);

/// The second choice of [`ErrorText`].
#[derive(Debug)]
pub struct DebugText<R>(TypeText<R>);

/// The third choice of [`ErrorText`].
#[derive(Debug)]
pub struct TypeText<R>(NoText<R>);

/// For what is no `Result`, which has been reported.
#[derive(Debug)]
pub struct NoText<R>(PhantomData<fn() -> R>);

impl<R> ErrorText<R> {
    /// The choices for a function that returns `R`.
    #[expect(clippy::new_without_default, reason = "called by expansions alone")]
    pub fn new() -> Self {
        Self(DebugText(TypeText(NoText(PhantomData))))
    }
}

impl<T, E: Display> ErrorText<Result<T, E>> {
    /// What the error displays.
    pub fn function(&self) -> fn(&E) -> String {
        |error| error.to_string()
    }
}

impl<T, E: Debug> DebugText<Result<T, E>> {
    /// How the error debugs.
    pub fn function(&self) -> fn(&E) -> String {
        |error| format!("{error:?}")
    }
}

impl<T, E> TypeText<Result<T, E>> {
    /// The name of the error's type.
    pub fn function(&self) -> fn(&E) -> String {
        |_| type_name::<E>().to_owned()
    }
}

impl<R> NoText<R> {
    /// Stands in for the others.
    pub fn function(&self) {}
}

otherwise! {
    [R] ErrorText<R> => DebugText<R>;
    [R] DebugText<R> => TypeText<R>;
    [R] TypeText<R> => NoText<R>;
}
