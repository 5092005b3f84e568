//! The operation of a call, its key, and the values of options.

use std::borrow::Cow;
use std::fmt::Display;
use std::sync::Arc;

use crate::engine::{Idempotency, Operation};
use crate::error::Error;
use crate::fingerprint::Fingerprint;
use crate::key::{Key, KeyBuilder};

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
    message = "a value of the type `{Self}` is not a handle\n\n= help: name the field or the argument that holds an \
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
