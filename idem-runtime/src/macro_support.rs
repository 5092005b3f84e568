//! What the expansion of `#[idempotent]` calls. Not for people: it changes without notice.
//!
//! The expansion never fails on its own: what goes wrong with a key or a fingerprint is kept, and reported by the call.
//! The traits here say in the user's words what a type lacks; each is asked for in one place of the expansion.

#![doc(hidden)]

use std::any::type_name;
use std::fmt::{Debug, Display};
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;

use serde::Serialize;

pub use std::time::Duration;

#[cfg(feature = "json")]
pub use crate::codec::Json;
#[cfg(feature = "msgpack")]
pub use crate::codec::MsgPack;
pub use crate::engine::{Idempotency, Operation, handle};
pub use crate::error::Error;
pub use crate::fingerprint::{Fingerprint, Fingerprinter};
pub use crate::key::{Key, KeyBuilder};
pub use crate::policy::{ReleaseErrors, ReplayErrors, StoreErrors, StoreErrorsAs};
pub use crate::record::CrashPolicy;

/// A call of the operation `name` on a handle that may be missing.
pub fn operation(handle: Result<Idempotency, Error>, name: &'static str) -> Operation {
    Operation::new(handle, name.into())
}

/// Computes the fingerprint of the arguments.
#[derive(Debug)]
#[must_use]
pub struct Arguments(Result<Fingerprinter, Error>);

impl Arguments {
    /// Begins with the operation's name.
    pub fn new(operation: &str) -> Self {
        Self(Ok(Fingerprinter::new(operation)))
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
    message = "an argument of the type `{Self}` cannot be hashed",
    label = "arguments are hashed, so they have to be `Serialize`",
    note = "leave it out of the hash with `skip(…)`: `#[idempotent(skip(pool))]`",
    note = "or add `#[derive(serde::Serialize)]` to its type"
)]
pub trait HashArgument: Serialize {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + ?Sized> HashArgument for T {}

/// The key of a free function without one: where it is, and the hash of its arguments.
pub fn function_key(
    module: &str,
    function: &str,
    fingerprint: &Result<Fingerprint, Error>,
) -> Result<Key, Error> {
    prefixed_key(&format!("{module}::{function}"), fingerprint)
}

/// The key of a method without one. The type is part of it, since methods of several types may share a module and a name.
pub fn method_key<T: ?Sized>(
    method: &str,
    fingerprint: &Result<Fingerprint, Error>,
) -> Result<Key, Error> {
    prefixed_key(&format!("{}::{method}", type_name::<T>()), fingerprint)
}

/// A prefix and the hash of the arguments.
pub fn prefixed_key(prefix: &str, fingerprint: &Result<Fingerprint, Error>) -> Result<Key, Error> {
    Key::new(format!("{prefix}:{}", fingerprint.as_ref().map_err(Clone::clone)?))
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

    /// Appends the value of `placeholder`, with a literal after it that begins with `next`.
    pub fn value_before<T: KeyValue + ?Sized>(
        self,
        placeholder: &str,
        value: &T,
        next: char,
    ) -> Self {
        Self(self.0.and_then(|key| key.value(placeholder, value, Some(next))))
    }

    /// Appends the value of `placeholder`, with nothing after it.
    pub fn value_at_end<T: KeyValue + ?Sized>(self, placeholder: &str, value: &T) -> Self {
        Self(self.0.and_then(|key| key.value(placeholder, value, None)))
    }

    /// The key.
    pub fn finish(self) -> Result<Key, Error> {
        self.0.and_then(KeyBuilder::finish)
    }
}

/// A value in a key template.
#[diagnostic::on_unimplemented(
    message = "a value of the type `{Self}` cannot be put into the key",
    label = "the values in a key template have to be `Display`",
    note = "name a field that is `Display`: `{{req.order_id}}`, or implement `Display` for the type"
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
    message = "a value of the type `{Self}` is no handle",
    label = "`with` takes an `Idempotency`, or a reference to one",
    note = "give the field or the argument that holds the handle: `with = self.idempotency`"
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
    message = "`#[idempotent]` needs a function that returns a `Result`, not `{Self}`",
    label = "this is not a `Result`",
    note = "return `Result<T, E>` with `E: From<idempotency::Error>`, so that a refused duplicate can say so"
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

/// The text that is stored of an error: what it displays, else how it debugs, else its type's name.
///
/// `function` is found at the first of the types [`ErrorText`], [`DebugText`] and [`NameText`] that have it: a method whose
/// bounds are not met is passed over, and the next type is looked at through `Deref`.
#[derive(Clone, Copy, Debug)]
pub struct ErrorText<E>(DebugText<E>);

/// The second choice of [`ErrorText`].
#[derive(Clone, Copy, Debug)]
pub struct DebugText<E>(NameText<E>);

/// The last choice of [`ErrorText`].
#[derive(Clone, Copy, Debug)]
pub struct NameText<E>(PhantomData<fn(E)>);

impl<E> ErrorText<E> {
    /// The choices for the errors `E`.
    #[expect(clippy::new_without_default, reason = "called by expansions alone")]
    pub fn new() -> Self {
        Self(DebugText(NameText(PhantomData)))
    }
}

impl<E: Display> ErrorText<E> {
    /// What the error displays.
    pub fn function(&self) -> fn(&E) -> String {
        |error| error.to_string()
    }
}

impl<E: Debug> DebugText<E> {
    /// How the error debugs.
    pub fn function(&self) -> fn(&E) -> String {
        |error| format!("{error:?}")
    }
}

impl<E> NameText<E> {
    /// The name of the error's type.
    pub fn function(&self) -> fn(&E) -> String {
        |_| type_name::<E>().to_owned()
    }
}

impl<E> Deref for ErrorText<E> {
    type Target = DebugText<E>;

    fn deref(&self) -> &DebugText<E> {
        &self.0
    }
}

impl<E> Deref for DebugText<E> {
    type Target = NameText<E>;

    fn deref(&self) -> &NameText<E> {
        &self.0
    }
}
