//! What the error of an attempt says about another one: whether nothing of it happened, and whether the same may succeed a moment later.

use std::error::Error as StdError;
use std::io;
use std::ops::Deref;

use sqlx::error::DatabaseError;

use crate::error::{Error, ErrorKind};
use crate::storage::sql::transaction::{Again, Records};
use crate::storage::{StorageError, StorageErrorKind};

/// An error of a body of [`Idempotency::transaction`](crate::Idempotency::transaction): a [`std::error::Error`], or what has one inside, as
/// `Box<dyn Error + Send + Sync>` and `anyhow::Error`. `K` is found by the compiler.
#[diagnostic::on_unimplemented(
    message = "an error of the type `{Self}` does not say whether a transaction may be tried again\n\n= help: implement \
               `std::error::Error` for it, with `source` for the errors of sqlx and of this crate, for example by `thiserror`",
    label = "the error has to be a `std::error::Error`, or a box of one"
)]
#[expect(private_bounds, reason = "that is what seals a trait")]
pub trait BodyError<K>: Sealed<K> {
    /// The error, to be looked into.
    #[doc(hidden)]
    fn as_error(&self) -> &(dyn StdError + 'static);
}

trait Sealed<K> {}

/// The kinds of a [`BodyError`].
pub mod kinds {
    /// It is a [`std::error::Error`] itself.
    #[derive(Debug)]
    #[expect(clippy::exhaustive_enums, reason = "not public API")]
    pub enum Plain {}

    /// It has a `dyn Error + Send + Sync` inside.
    #[derive(Debug)]
    #[expect(clippy::exhaustive_enums, reason = "not public API")]
    pub enum Boxed {}

    /// It has a `dyn Error` inside.
    #[derive(Debug)]
    #[expect(clippy::exhaustive_enums, reason = "not public API")]
    pub enum BoxedHere {}
}

impl<E: StdError + 'static> Sealed<kinds::Plain> for E {}

#[diagnostic::do_not_recommend]
impl<E: StdError + 'static> BodyError<kinds::Plain> for E {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        self
    }
}

impl<E: Deref<Target = dyn StdError + Send + Sync>> Sealed<kinds::Boxed> for E {}

#[diagnostic::do_not_recommend]
impl<E: Deref<Target = dyn StdError + Send + Sync>> BodyError<kinds::Boxed> for E {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        &**self
    }
}

impl<E: Deref<Target = dyn StdError>> Sealed<kinds::BoxedHere> for E {}

#[diagnostic::do_not_recommend]
impl<E: Deref<Target = dyn StdError>> BodyError<kinds::BoxedHere> for E {
    fn as_error(&self) -> &(dyn StdError + 'static) {
        &**self
    }
}

impl Again {
    /// What the error of a body says: the outermost of its chain that is known. Nothing is committed yet.
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
            return Some(Self::of_ours::<DB>(error));
        }
        if let Some(error) = error.downcast_ref::<sqlx::Error>() {
            return Some(Self::of_sqlx::<DB>(error));
        }
        // A transparent wrapper shows what is behind the two instead.
        if let Some(error) = error.downcast_ref::<Box<dyn DatabaseError>>() {
            return Some(DB::again(&**error));
        }
        if let Some(error) = error.downcast_ref::<StorageError>() {
            // Of a commit it would say that the outcome is unknown, so it is not guessed which it is.
            let is_certain = error.kind() == StorageErrorKind::NotApplied;
            return Some(if is_certain { Self::of_cause::<DB>(error) } else { Self::Never });
        }
        // A transparent wrapper of one of sqlx's, or of somebody else's connection.
        error.downcast_ref::<io::Error>().map(|error| match Self::of_io(error) {
            Self::AfterLoss => Self::IfLost,
            again => again,
        })
    }

    /// What one of this crate's errors says, of a call in the transaction.
    fn of_ours<DB: Records>(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::AlreadyProcessing => Self::WhenFree,
            ErrorKind::Storage if error.is_retryable() => Self::of_cause::<DB>(error),
            // A lease that is lost in a transaction means that the body has ended it.
            _ => Self::Never,
        }
    }

    /// A trouble of the storage's that passes: what the database said of it, else that it refused.
    fn of_cause<DB: Records>(error: &(dyn StdError + 'static)) -> Self {
        let mut next = error.source();
        let mut is_lost = false;
        while let Some(error) = next {
            if let Some(storage) = error.downcast_ref::<StorageError>() {
                is_lost |= storage.kind() == StorageErrorKind::Indeterminate;
            } else if let Some(again) = Self::of_known::<DB>(error) {
                return match again {
                    Self::Never => Self::otherwise(is_lost),
                    // It is the storage's, and so the transaction's.
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

    /// What the error of a commit says.
    pub(super) fn of_commit<DB: Records>(error: &Error) -> Self {
        match error.kind() {
            ErrorKind::Storage if error.is_retryable() => Self::of_cause::<DB>(error),
            _ => Self::Never,
        }
    }

    /// What an error of sqlx says.
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
