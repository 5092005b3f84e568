//! What the expansion of `#[idempotent]` calls. Not for people: it changes without notice.
//!
//! Two things are particular to it:
//!
//! - It never fails on its own: what goes wrong with a key or a fingerprint is kept, and reported by the call.
//! - A bound that a user's type does not meet is one error, at the type. So the expansion asks for every bound alone
//!   (`require_…`), with a trait that says in the user's words what is missing; and [`Call`], which needs all of them
//!   together, gives way to [`NotCallable`] instead of complaining a second time.

#![doc(hidden)]

use std::any::type_name;
use std::borrow::Cow;
use std::fmt::{Debug, Display};
use std::future::Pending;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;
use serde::de::DeserializeOwned;

mod instance;
pub(crate) mod outcome;
pub mod transaction;

pub use std::time::Duration;

#[cfg(feature = "json")]
pub use crate::codec::Json;
#[cfg(feature = "msgpack")]
pub use crate::codec::MsgPack;
pub use crate::engine::{Detached, Idempotency, Operation, handle};
pub use crate::error::Error;
pub use crate::fingerprint::{Fingerprint, Fingerprinter};
pub use crate::key::{Key, KeyBuilder};
use crate::policy::{Policy, Storable};
pub use crate::policy::{ReleaseErrors, ReplayErrors, StoreErrors, StoreErrorsAs};
pub use crate::record::CrashPolicy;
pub use instance::instance;
pub use outcome::{Stored, Whole};
pub use transaction::{CallWithin, Transactional, Turn, require_transaction};

/// A call of the operation `name` on a handle that may be missing, with a fingerprint that may
/// have failed: [`Operation::run`] reports either.
pub fn operation(
    handle: Result<Idempotency, Error>,
    name: impl Into<Cow<'static, str>>,
    fingerprint: Result<Fingerprint, Error>,
) -> Operation {
    Operation::new(handle.map(|idem| idem.0), name.into()).identified(fingerprint)
}

/// Computes the fingerprint of the arguments.
#[derive(Debug)]
#[must_use]
pub struct Arguments(Result<Fingerprinter, Error>);

impl Arguments {
    /// Begins with the operation's name, and its instance where it has several.
    pub fn new(operation: &str, instance: Result<Option<String>, Error>) -> Self {
        Self(instance.and_then(|instance| match instance {
            Some(instance) => Fingerprinter::of_instance(operation, &instance),
            None => Ok(Fingerprinter::new(operation)),
        }))
    }

    /// Likewise, with what the user calls the instance.
    pub fn of_instance<T: HashInstance + ?Sized>(operation: &str, instance: &T) -> Self {
        Self(Fingerprinter::of_instance(operation, instance))
    }

    /// Adds an argument.
    pub fn arg<T: HashArgument + ?Sized>(self, value: &T) -> Self {
        Self(self.0.and_then(|fingerprinter| fingerprinter.arg(value)))
    }

    /// The fingerprint.
    pub fn finish(self) -> Result<Fingerprint, Error> {
        self.0.map(Fingerprinter::finish)
    }
}

/// An argument that is part of the fingerprint.
#[diagnostic::on_unimplemented(
    message = "an argument of the type `{Self}` cannot be hashed\n\n= help: leave it out of the hash, \
               for example `#[idempotent(skip(pool))]`, or derive `serde::Serialize` for its type",
    label = "arguments are hashed, so they have to be `Serialize`"
)]
pub trait HashArgument: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> HashArgument for T {}

/// What tells the instances of a function apart.
#[diagnostic::on_unimplemented(
    message = "an instance of the type `{Self}` cannot be hashed\n\n= help: give a value that is `serde::Serialize`, \
               for example a constant of a trait: `instance = C::NAME`",
    label = "the instance is hashed, so it has to be `Serialize`"
)]
pub trait HashInstance: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> HashInstance for T {}

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

/// What the option `with` takes.
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

/// A value that a replay can give back.
#[diagnostic::on_unimplemented(
    message = "a result of the type `{Self}` cannot be stored and replayed\n\n= help: derive `serde::Serialize` and \
               `serde::Deserialize` for it, or for the `T` of an `Outcome<T>`, without borrowed data",
    label = "results have to be `Serialize` and `DeserializeOwned`"
)]
pub trait Replayable {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Replayable for T {}

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

/// Asks for a value that can be replayed.
pub fn require_value<T: Replayable>() {}

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
/// `run` is found here where all bounds are met, which is what the `require_…` functions have made sure of; else it is
/// found at [`NotCallable`], behind errors that have been reported.
#[derive(Debug)]
pub struct Call<R, P> {
    policy: PhantomData<fn(P)>,
    otherwise: NotCallable<R>,
}

/// Where the bounds of [`Call`] are not met.
#[derive(Debug)]
pub struct NotCallable<R>(PhantomData<fn() -> R>);

impl<R, P> Call<R, P> {
    /// For a call of `operation`.
    pub fn of<B>(_operation: &Operation<P, B>) -> Self {
        Self { policy: PhantomData, otherwise: NotCallable(PhantomData) }
    }
}

impl<T, E, P> Call<Result<T, E>, P>
where
    T: Storable,
    P: Policy<T, E>,
{
    /// Runs the body, or replays its result.
    pub fn run<F: Future<Output = Result<T, E>>>(
        &self,
        operation: Operation<P>,
        body: F,
    ) -> impl Future<Output = Result<T, E>> + use<T, E, P, F> {
        operation.run(body)
    }
}

impl<T, E, P> Call<Result<T, E>, P>
where
    T: Storable + Send + 'static,
    E: Send + 'static,
    P: Policy<T, E> + Send + Sync + 'static,
{
    /// Runs the body, to its end without its caller if need be, or replays its result.
    pub fn finish<F: Future<Output = Result<T, E>> + Send + 'static>(
        &self,
        operation: Operation<P, Detached>,
        body: F,
    ) -> impl Future<Output = Result<T, E>> + Send + use<T, E, P, F> {
        operation.run(body)
    }
}

impl<R> NotCallable<R> {
    /// Stands in for the method of [`Call`], but is never compiled: there are errors already.
    pub fn run<O, F>(&self, _operation: O, _body: F) -> Pending<R> {
        const { panic!("a bound of `Call` was not asked for before") }
    }

    /// Likewise.
    pub fn finish<O, F>(&self, _operation: O, _body: F) -> Pending<R> {
        const { panic!("a bound of `Call` was not asked for before") }
    }
}

impl<R, P> Deref for Call<R, P> {
    type Target = NotCallable<R>;

    fn deref(&self) -> &NotCallable<R> {
        &self.otherwise
    }
}

/// Stands behind a `return` that is never reached, and so tells the compiler the type of an async block.
pub fn fake_return<T>() -> T {
    std::process::abort()
}

/// Gives a closure without types the ones it is called with.
pub fn predicate<T, F: Fn(&T) -> bool>(matches: F) -> F {
    matches
}

/// Likewise for `map_err`.
pub fn error_map<E, F: Fn(Error) -> E>(map: F) -> F {
    map
}

/// The text that is stored of the error in `R`: what it displays, else how it debugs, else its type's name.
///
/// `function` is found at the first of these types that has it: a method whose bounds are not met is passed over, and the
/// next type is looked at through `Deref`. So no bound is asked for, and in a generic function those that are there count.
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

impl<R> Deref for ErrorText<R> {
    type Target = DebugText<R>;

    fn deref(&self) -> &DebugText<R> {
        &self.0
    }
}

impl<R> Deref for DebugText<R> {
    type Target = TypeText<R>;

    fn deref(&self) -> &TypeText<R> {
        &self.0
    }
}

impl<R> Deref for TypeText<R> {
    type Target = NoText<R>;

    fn deref(&self) -> &NoText<R> {
        &self.0
    }
}
