//! What an annotated function requires of its types.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::Error;

/// The value's and the error's types of a `Result`, however the user's signature calls it.
#[diagnostic::on_unimplemented(
    message = "`#[idempotent]` needs a function that returns a `Result`, not `{Self}`\n\n= help: return `Result<T, E>` \
               with `E: From<idempotency::Error>`, so that a refused duplicate can return its error",
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
               `serde::Deserialize` for it, or store only its text: `on_error = \"store\"`",
    label = "`on_error = \"replay\"` takes errors that are `Serialize` and `DeserializeOwned`"
)]
pub trait ReplayableError: Serialize + DeserializeOwned {}

#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned> ReplayableError for E {}

/// An error type that can carry this crate's.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be made from `idempotency::Error`\n\n= help: implement `From<idempotency::Error>` for it, \
               or give the attribute a function: `map_err = |error| …`",
    label = "a refused duplicate returns this error"
)]
pub trait FromIdempotency: From<Error> {}

#[diagnostic::do_not_recommend]
impl<E: From<Error>> FromIdempotency for E {}

/// Requires a `Result`.
pub fn require_result<R: Returned>() {}

/// Requires an error that can be replayed.
pub fn require_replayed_error<E: ReplayableError>() {}

/// Requires an error that can carry this crate's.
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

/// Requires an argument that may outlive the caller.
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

/// Requires a result or error that a task may have made.
pub fn require_sent<T: Sent>() {}
