//! Policies: which results and errors are recorded, and how they are replayed.
//!
//! The options `on_error`, `retry_if`, `store_if` and `map_err` of the attribute are the types of
//! this module, composed at compile time.

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

/// How an error is recorded and replayed.
#[diagnostic::on_unimplemented(
    message = "the errors of `{E}` cannot be recorded with `{Self}`",
    note = "`StoreErrors` needs `Display`, `ReplayErrors` needs `Serialize` and `DeserializeOwned`"
)]
pub trait ErrorPolicy<E> {
    /// The failure to record. `None` releases the key, so that the next call runs the body again.
    fn record(&self, error: &E, codec: &AnyCodec) -> Option<Failure>;

    /// The error, decoded from its record. `None` if this policy does not replay errors.
    fn revive(&self, typed: &Payload, codec: &AnyCodec) -> Option<Result<E, CodecError>>;
}

/// `on_error = "store"`: later calls get [`PreviouslyFailed`](crate::ErrorKind::PreviouslyFailed)
/// with the error's text.
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

/// [`StoreErrors`] with a function that gives the error's text.
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

/// `on_error = "replay"`: later calls get the same typed error. Of an error that cannot be encoded,
/// or not be read back, only the name of its type is stored.
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

/// Which results are stored.
pub trait StorePolicy<T> {
    /// Whether `value` is stored; otherwise the key is released.
    fn keeps(&self, value: &T) -> bool;
}

/// How this crate's [`Error`] becomes the operation's error type.
#[diagnostic::on_unimplemented(
    message = "`{E}` cannot be made from `idempotency::Error`",
    label = "this error type has to implement `From<idempotency::Error>`",
    note = "implement `From<idempotency::Error>` for it, or give the attribute `map_err = |error| …`"
)]
pub trait MapError<E> {
    /// The operation's error.
    fn map(&self, error: Error) -> E;
}

/// The three decisions of an operation whose body returns `Result<T, E>`: what is recorded of an
/// error, which results are stored, and how this crate's error becomes an `E`.
pub trait Policy<T, E>: ErrorPolicy<E> + StorePolicy<T> + MapError<E> {}

impl<T, E, P: ErrorPolicy<E> + StorePolicy<T> + MapError<E>> Policy<T, E> for P {}

/// The policy of an operation without options: [`StoreErrors`], every result is stored, and the
/// error type implements `From<Error>`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults;

#[diagnostic::do_not_recommend]
impl<E: Display> ErrorPolicy<E> for Defaults {
    fn record(&self, error: &E, codec: &AnyCodec) -> Option<Failure> {
        StoreErrors.record(error, codec)
    }

    fn revive(&self, typed: &Payload, codec: &AnyCodec) -> Option<Result<E, CodecError>> {
        StoreErrors.revive(typed, codec)
    }
}

impl<T> StorePolicy<T> for Defaults {
    fn keeps(&self, _value: &T) -> bool {
        true
    }
}

#[diagnostic::do_not_recommend]
impl<E: From<Error>> MapError<E> for Defaults {
    fn map(&self, error: Error) -> E {
        error.into()
    }
}

/// `on_error`: errors are recorded by the policy `N`.
#[derive(Clone, Copy, Debug)]
pub struct OnError<P, N> {
    pub(crate) inner: P,
    pub(crate) errors: N,
}

#[diagnostic::do_not_recommend]
impl<E, P, N: ErrorPolicy<E>> ErrorPolicy<E> for OnError<P, N> {
    fn record(&self, error: &E, codec: &AnyCodec) -> Option<Failure> {
        self.errors.record(error, codec)
    }

    fn revive(&self, typed: &Payload, codec: &AnyCodec) -> Option<Result<E, CodecError>> {
        self.errors.revive(typed, codec)
    }
}

/// `retry_if`: errors for which the function is true release the key.
#[derive(Clone, Copy, Debug)]
pub struct RetryIf<P, F> {
    pub(crate) inner: P,
    pub(crate) matches: F,
}

#[diagnostic::do_not_recommend]
impl<E, P: ErrorPolicy<E>, F: Fn(&E) -> bool> ErrorPolicy<E> for RetryIf<P, F> {
    fn record(&self, error: &E, codec: &AnyCodec) -> Option<Failure> {
        if (self.matches)(error) { None } else { self.inner.record(error, codec) }
    }

    fn revive(&self, typed: &Payload, codec: &AnyCodec) -> Option<Result<E, CodecError>> {
        self.inner.revive(typed, codec)
    }
}

/// `store_if`: results for which the function is true are stored.
#[derive(Clone, Copy, Debug)]
pub struct StoreIf<P, F> {
    pub(crate) inner: P,
    pub(crate) keeps: F,
}

#[diagnostic::do_not_recommend]
impl<T, P, F: Fn(&T) -> bool> StorePolicy<T> for StoreIf<P, F> {
    fn keeps(&self, value: &T) -> bool {
        (self.keeps)(value)
    }
}

/// `map_err`: the function makes the operation's error of this crate's.
#[derive(Clone, Copy, Debug)]
pub struct MapErr<P, F> {
    pub(crate) inner: P,
    pub(crate) map: F,
}

#[diagnostic::do_not_recommend]
impl<E, P, F: Fn(Error) -> E> MapError<E> for MapErr<P, F> {
    fn map(&self, error: Error) -> E {
        (self.map)(error)
    }
}

/// An option changes one decision; the other two stay those of the policy inside.
macro_rules! inner_records {
    ($($option:ident),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<E, P: ErrorPolicy<E>, F> ErrorPolicy<E> for $option<P, F> {
            fn record(&self, error: &E, codec: &AnyCodec) -> Option<Failure> {
                self.inner.record(error, codec)
            }

            fn revive(&self, typed: &Payload, codec: &AnyCodec) -> Option<Result<E, CodecError>> {
                self.inner.revive(typed, codec)
            }
        }
    )*};
}

macro_rules! inner_keeps {
    ($($option:ident),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<T, P: StorePolicy<T>, F> StorePolicy<T> for $option<P, F> {
            fn keeps(&self, value: &T) -> bool {
                self.inner.keeps(value)
            }
        }
    )*};
}

macro_rules! inner_maps {
    ($($option:ident),*) => {$(
        #[diagnostic::do_not_recommend]
        impl<E, P: MapError<E>, F> MapError<E> for $option<P, F> {
            fn map(&self, error: Error) -> E {
                self.inner.map(error)
            }
        }
    )*};
}

inner_records!(StoreIf, MapErr);
inner_keeps!(OnError, RetryIf, MapErr);
inner_maps!(OnError, RetryIf, StoreIf);
