//! Which failed transactions are retried: those that certainly had no effect and may succeed a
//! moment later.

use std::error::Error as StdError;
use std::io;
use std::ops::Deref;

use sqlx::error::DatabaseError;

use crate::error::{Error, ErrorKind};
use crate::storage::sql::transaction::{Again, Records};
use crate::storage::{StorageError, StorageErrorKind};

/// An error of a body of [`Idempotency::transaction`](crate::Idempotency::transaction): a
/// [`std::error::Error`], or a box of one such as `Box<dyn Error + Send + Sync>` and
/// `anyhow::Error`. The compiler infers `K`.
#[diagnostic::on_unimplemented(
    message = "an error of the type `{Self}` does not say whether a transaction may be tried again\n\n= help: implement \
               `std::error::Error` for it, with `source` for the errors of sqlx and of this crate, for example by `thiserror`",
    label = "the error has to be a `std::error::Error`, or a box of one"
)]
#[expect(private_bounds, reason = "that is what seals a trait")]
pub trait BodyError<K>: SealedBodyError<K> {
    /// The error.
    #[doc(hidden)]
    fn as_error(&self) -> &(dyn StdError + 'static);
}

trait SealedBodyError<K> {}

/// The kinds of a [`BodyError`].
pub mod kinds {
    /// A [`std::error::Error`].
    #[derive(Debug)]
    #[expect(clippy::exhaustive_enums, reason = "not public API")]
    pub enum Plain {}

    /// A box of a `dyn Error + Send + Sync`.
    #[derive(Debug)]
    #[expect(clippy::exhaustive_enums, reason = "not public API")]
    pub enum Boxed {}

    /// A box of a `dyn Error`.
    #[derive(Debug)]
    #[expect(clippy::exhaustive_enums, reason = "not public API")]
    pub enum BoxedHere {}
}

impl<E: StdError + 'static> SealedBodyError<kinds::Plain> for E {}

#[diagnostic::do_not_recommend]
impl<E: StdError + 'static> BodyError<kinds::Plain> for E {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

impl<E: Deref<Target = dyn StdError + Send + Sync>> SealedBodyError<kinds::Boxed> for E {}

#[diagnostic::do_not_recommend]
impl<E: Deref<Target = dyn StdError + Send + Sync>> BodyError<kinds::Boxed> for E {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        &**self
    }
}

impl<E: Deref<Target = dyn StdError>> SealedBodyError<kinds::BoxedHere> for E {}

#[diagnostic::do_not_recommend]
impl<E: Deref<Target = dyn StdError>> BodyError<kinds::BoxedHere> for E {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        &**self
    }
}

impl Again {
    /// Classifies a body's error by the outermost known error of its chain. Nothing is committed
    /// yet.
    pub(super) fn of_body<DB: Records>(error: &(dyn StdError + 'static)) -> Self {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(again) = Self::of_known::<DB>(error) {
                return again;
            }
            next = error.source();
        }
        Self::Never
    }

    fn of_known<DB: Records>(error: &(dyn StdError + 'static)) -> Option<Self> {
        if let Some(error) = error.downcast_ref::<Error>() {
            return Some(Self::of_library::<DB>(error));
        }
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return Some(Self::of_sqlx::<DB>(error));
        }
        // A transparent wrapper of either shows its source instead.
        if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
            return Some(DB::again(&**error));
        }
        if let Some(error) = error.downcast_ref::<StorageError>() {
            // An indeterminate error may be a commit's, whose outcome is unknown.
            let is_certain = error.kind() == StorageErrorKind::NotApplied;
            return Some(if is_certain { Self::of_cause::<DB>(error) } else { Self::Never });
        }
        // A transparent wrapper of an error of sqlx, or of another connection.
        error.downcast_ref::<io::Error>().map(|error| match Self::of_io(error) {
            Self::AfterLoss => Self::IfLost,
            again => again,
        })
    }

    /// Classifies this crate's error, of a call in the transaction or of its commit.
    pub(super) fn of_library<DB: Records>(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::AlreadyProcessing => Self::WhenFree,
            ErrorKind::Storage if error.is_retryable() => Self::of_cause::<DB>(error),
            // A lost lease means that the body has ended the transaction.
            _ => Self::Never,
        }
    }

    /// Classifies a transient storage error by the database's error in its chain.
    fn of_cause<DB: Records>(error: &(dyn StdError + 'static)) -> Self {
        let mut next = error.source();
        let mut is_lost = false;
        while let Some(error) = next {
            if let Some(storage) = error.downcast_ref::<StorageError>() {
                is_lost |= storage.kind() == StorageErrorKind::Indeterminate;
            } else if let Some(again) = Self::of_known::<DB>(error) {
                return match again {
                    Self::Never => Self::otherwise(is_lost),
                    // The storage's connection is the transaction's.
                    Self::IfLost => Self::AfterLoss,
                    again => again,
                };
            }
            next = error.source();
        }
        Self::otherwise(is_lost)
    }

    fn otherwise(is_lost: bool) -> Self {
        if is_lost { Self::AfterLoss } else { Self::Refused }
    }

    /// Classifies an error of sqlx.
    pub(super) fn of_sqlx<DB: Records>(error: &sqlx::Error) -> Self {
        match error {
            sqlx::Error::Database(error) => DB::again(&**error),
            sqlx::Error::Io(error) => Self::of_io(error),
            sqlx::Error::WorkerCrashed => Self::AfterLoss,
            _ => Self::Never,
        }
    }

    fn of_io(error: &io::Error) -> Self {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, NotConnected,
            UnexpectedEof,
        };
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionRefused | ConnectionReset | NotConnected
            | UnexpectedEof => Self::AfterLoss,
            _ => Self::Never,
        }
    }
}
