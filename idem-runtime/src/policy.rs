//! What is recorded of a body's result, and what becomes of it in a replay.
//!
//! The options `on_error`, `retry_if`, `store_if` and `map_err` of the attribute are the types of this module, composed at compile time.

use std::fmt::Display;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{AnyCodec, CodecError};
use crate::error::Error;
use crate::record::{Failure, Payload};

/// A result that can be stored and replayed: `Serialize + DeserializeOwned`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be stored and replayed",
    label = "this result has to be `Serialize` and `DeserializeOwned`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to the type, or return a type that has them"
)]
pub trait Storable: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<T: Serialize + DeserializeOwned> Storable for T {}

/// What is recorded of an error.
#[diagnostic::on_unimplemented(
    message = "the errors of `{E}` cannot be recorded with `{Self}`",
    note = "`StoreErrors` needs `Display`, `ReplayErrors` needs `Serialize` and `DeserializeOwned`"
)]
pub trait ErrorPolicy<E> {
    /// The failure to record; `None` releases the key, so that the next call runs the body again.
    fn record(&self, error: &E, codec: &AnyCodec) -> Option<Failure>;

    /// The error itself, made of what was recorded; `None` where this policy does not replay errors.
    fn revive(&self, typed: &Payload, codec: &AnyCodec) -> Option<Result<E, CodecError>>;
}

/// `on_error = "store"`: later calls get [`PreviouslyFailed`](crate::ErrorKind::PreviouslyFailed) with the error's text.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreErrors;

#[diagnostic::do_not_recommend]
impl<E: Display> ErrorPolicy<E> for StoreErrors {
    fn record(&self, error: &E, _codec: &AnyCodec) -> Option<Failure> {
        Some(Failure::Error { message: error.to_string(), typed: None })
    }

    fn revive(&self, _typed: &Payload, _codec: &AnyCodec) -> Option<Result<E, CodecError>> {
        None
    }
}

/// Like [`StoreErrors`], with a function that gives the error's text.
#[derive(Clone, Copy, Debug)]
pub struct StoreErrorsAs<F>(pub F);

impl<E, F: Fn(&E) -> String> ErrorPolicy<E> for StoreErrorsAs<F> {
    fn record(&self, error: &E, _codec: &AnyCodec) -> Option<Failure> {
        Some(Failure::Error { message: self.0(error), typed: None })
    }

    fn revive(&self, _typed: &Payload, _codec: &AnyCodec) -> Option<Result<E, CodecError>> {
        None
    }
}

/// `on_error = "replay"`: later calls get the same typed error. An error that cannot be encoded, or not be read back, is stored by its type's
/// name alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReplayErrors;

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned> ErrorPolicy<E> for ReplayErrors {
    fn record(&self, error: &E, codec: &AnyCodec) -> Option<Failure> {
        let message = std::any::type_name::<E>().to_owned();
        let typed = codec.encode(error).ok().filter(|typed| codec.decode::<E>(typed).is_ok());
        Some(Failure::Error { message, typed })
    }

    fn revive(&self, typed: &Payload, codec: &AnyCodec) -> Option<Result<E, CodecError>> {
        Some(codec.decode(typed))
    }
}

/// `on_error = "release"`: later calls run the body again.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReleaseErrors;

impl<E> ErrorPolicy<E> for ReleaseErrors {
    fn record(&self, _error: &E, _codec: &AnyCodec) -> Option<Failure> {
        None
    }

    fn revive(&self, _typed: &Payload, _codec: &AnyCodec) -> Option<Result<E, CodecError>> {
        None
    }
}

/// `retry_if`: errors for which the function is true release the key; the others go by the inner policy.
#[derive(Clone, Copy, Debug)]
pub struct RetryIf<P, F> {
    pub(crate) otherwise: P,
    pub(crate) matches: F,
}

impl<E, P: ErrorPolicy<E>, F: Fn(&E) -> bool> ErrorPolicy<E> for RetryIf<P, F> {
    fn record(&self, error: &E, codec: &AnyCodec) -> Option<Failure> {
        if (self.matches)(error) { None } else { self.otherwise.record(error, codec) }
    }

    fn revive(&self, typed: &Payload, codec: &AnyCodec) -> Option<Result<E, CodecError>> {
        self.otherwise.revive(typed, codec)
    }
}

/// Which results are stored.
pub trait StorePolicy<T> {
    /// Whether `value` is stored; otherwise the key is released.
    fn keeps(&self, value: &T) -> bool;
}

/// Every result is stored.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreAll;

impl<T> StorePolicy<T> for StoreAll {
    fn keeps(&self, _value: &T) -> bool {
        true
    }
}

/// `store_if`: results for which the function is true are stored.
#[derive(Clone, Copy, Debug)]
pub struct StoreIf<F>(pub(crate) F);

impl<T, F: Fn(&T) -> bool> StorePolicy<T> for StoreIf<F> {
    fn keeps(&self, value: &T) -> bool {
        (self.0)(value)
    }
}

/// How this crate's [`Error`] becomes the operation's error type.
#[diagnostic::on_unimplemented(
    message = "`{E}` cannot be made of `idempotency::Error`",
    label = "this error type has to implement `From<idempotency::Error>`",
    note = "implement `From<idempotency::Error>` for it, or give the attribute `map_err = |error| …`"
)]
pub trait MapError<E> {
    /// The operation's error.
    fn map(&self, error: Error) -> E;
}

/// Through `E: From<Error>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct FromError;

#[diagnostic::do_not_recommend]
impl<E: From<Error>> MapError<E> for FromError {
    fn map(&self, error: Error) -> E {
        error.into()
    }
}

/// Through a function: the option `map_err`.
#[derive(Clone, Copy, Debug)]
pub struct MapWith<F>(pub(crate) F);

impl<E, F: Fn(Error) -> E> MapError<E> for MapWith<F> {
    fn map(&self, error: Error) -> E {
        (self.0)(error)
    }
}
