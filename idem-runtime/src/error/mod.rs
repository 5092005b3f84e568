//! The one error type of the public API: a kind to act on, the call it belongs to, and its source.
//!
//! A storage's error lends its text to the error, whose source is then the storage error's own
//! source. Any other source has a text that the error does not repeat: see [`chain`](crate::chain).

mod kind;
mod storage;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use kind::ErrorKind;
pub use storage::{StorageError, StorageErrorKind};

use crate::chain;
use crate::key_hash::key_hash;

/// Why an operation did not return its own result.
///
/// Act on [`kind`](Error::kind); show the `Display` text to people. The text never contains
/// payloads, arguments or raw keys: it shows a key as the hash that the call's span and log lines
/// have too. [`key`](Error::key) gives the program the whole key.
///
/// [`source`](StdError::source) adds to the text, and no error of the chain repeats another. The
/// source of [`PreviouslyFailed`](ErrorKind::PreviouslyFailed) is the first call's failure. Cloning
/// is cheap.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), idem_runtime::Error> {
/// # use idem_runtime::{Error, Idempotency};
/// # let idem = Idempotency::memory();
/// # idem.operation("charge").key("order-42").run(async { Ok::<_, Error>(1) }).await?;
/// let used = idem.operation("refund").key("order-42").run(async { Ok::<_, Error>(2) });
/// let error = used.await.unwrap_err();
/// assert_eq!(error.key(), Some("order-42"));
/// assert!(error.to_string().contains("by the operation `charge`"));
/// assert!(!error.to_string().contains("order-42"));
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Error(Arc<ErrorInner>);

#[derive(Clone)]
struct ErrorInner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    operation: Option<Arc<str>>,
    key: Option<Arc<str>>,
    /// The name of its record.
    record: Option<Arc<str>>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

/// The cause of an error.
#[derive(Clone)]
enum Cause {
    /// A storage error, whose text is the error's.
    Storage(StorageError),
    /// The first call's failure.
    Failure(FirstFailure),
    Other(Arc<dyn StdError + Send + Sync>),
}

/// The failure of the first call with a key, as the text that was stored of it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct FirstFailure(Arc<str>);

/// What a consumer does with a message whose call failed with one of this crate's errors; see
/// [`Error::disposition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// Do not acknowledge the message: another delivery may succeed.
    Redeliver {
        /// When, where that is known: at the end of the running call's lease.
        after: Option<Duration>,
    },
    /// Move the message to the dead letters and acknowledge it: no delivery succeeds until a person
    /// has intervened.
    DeadLetter,
    /// Acknowledge the message: its effect has happened.
    Acknowledge,
}

impl Error {
    /// An error of `kind` with a text for people: lowercase, no full stop, no payload, no raw key.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(ErrorInner {
            kind,
            message: message.into(),
            operation: None,
            key: None,
            record: None,
            retry_after: None,
            cause: None,
        }))
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Name of the operation, where one was under way.
    pub fn operation(&self) -> Option<&str> {
        self.0.operation.as_deref()
    }

    /// The call's key without namespace and tenant, if one was made. It may contain personal data:
    /// in logs use [`key_hash`](Self::key_hash).
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// A hash of namespace, tenant and key as sixteen hex digits, the same in every process. The
    /// error's text, spans and log lines show it.
    pub fn key_hash(&self) -> Option<String> {
        self.0.record.as_deref().map(key_hash)
    }

    /// How long to wait before calling again, for [`ErrorKind::AlreadyProcessing`]: the rest of the
    /// running call's lease.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The text of the first call's failure, for [`ErrorKind::PreviouslyFailed`].
    pub fn failure(&self) -> Option<&str> {
        match &self.0.cause {
            Some(Cause::Failure(FirstFailure(text))) => Some(text),
            _ => None,
        }
    }

    /// The storage's error, if the storage caused this one.
    pub fn storage_error(&self) -> Option<&StorageError> {
        match &self.0.cause {
            Some(Cause::Storage(error)) => Some(error),
            Some(Cause::Other(error)) => error.downcast_ref(),
            _ => None,
        }
    }

    /// Whether calling again with the same key can succeed without a change of code, arguments or
    /// settings.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::AlreadyProcessing | ErrorKind::LeaseLost => true,
            ErrorKind::Storage => self.storage_error().is_none_or(StorageError::is_transient),
            // The error of a parked call has no storage error.
            ErrorKind::Indeterminate => {
                self.storage_error().is_some_and(StorageError::is_transient)
            }
            _ => false,
        }
    }

    /// What a consumer of a queue does with the message whose call failed with this error. The
    /// handler decides about errors of its own.
    ///
    /// | kind | disposition |
    /// |---|---|
    /// | `AlreadyProcessing` | redeliver after [`retry_after`](Self::retry_after): another consumer is running it |
    /// | `LeaseLost`, `Storage`, an `Indeterminate` commit | redeliver: the next delivery replays or runs |
    /// | `Configuration`, `NotConfigured`, `AlreadyConfigured` | redeliver: the consumer is broken, not the message |
    /// | `PreviouslyFailed` | dead letter: an earlier delivery failed for good |
    /// | `Mismatch`, `KeyGeneration`, `Reentrant` | dead letter: the message or the code is wrong |
    /// | `Corrupt`, a parked `Indeterminate` | dead letter: a person has to look |
    /// | `TooLarge`, `Serialization` | acknowledge: the effect has happened; its result cannot be replayed |
    ///
    /// ```
    /// # use idem_runtime as idempotency;
    /// use idempotency::{Disposition, Error};
    ///
    /// fn on_error(error: &Error) -> &'static str {
    ///     match error.disposition() {
    ///         Disposition::Redeliver { after: _ } => "nak",
    ///         Disposition::DeadLetter => "publish to the dead letters, then ack",
    ///         Disposition::Acknowledge => "ack",
    ///         _ => "nak",
    ///     }
    /// }
    /// # let error = Error::new(idem_runtime::ErrorKind::Mismatch, "other arguments");
    /// # assert_eq!(error.disposition(), Disposition::DeadLetter);
    /// # assert!(on_error(&error).starts_with("publish"));
    /// ```
    #[must_use]
    pub fn disposition(&self) -> Disposition {
        match self.0.kind {
            ErrorKind::Indeterminate if self.is_retryable() => {
                Disposition::Redeliver { after: None }
            }
            ErrorKind::AlreadyProcessing
            | ErrorKind::LeaseLost
            | ErrorKind::Storage
            | ErrorKind::Configuration
            | ErrorKind::NotConfigured
            | ErrorKind::AlreadyConfigured => Disposition::Redeliver { after: self.retry_after() },
            ErrorKind::TooLarge | ErrorKind::Serialization => Disposition::Acknowledge,
            ErrorKind::PreviouslyFailed
            | ErrorKind::Indeterminate
            | ErrorKind::Mismatch
            | ErrorKind::KeyGeneration
            | ErrorKind::Reentrant
            | ErrorKind::Corrupt => Disposition::DeadLetter,
        }
    }

    /// Whether the key is taken: by a running call, by other arguments, or by an unresolved crash.
    pub fn is_conflict(&self) -> bool {
        matches!(
            self.0.kind,
            ErrorKind::AlreadyProcessing
                | ErrorKind::Mismatch
                | ErrorKind::Indeterminate
                | ErrorKind::LeaseLost
                | ErrorKind::Reentrant
        )
    }

    pub(crate) fn with_source(self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.map(|inner| inner.cause = Some(Cause::Other(source.into().into())))
    }

    pub(crate) fn with_retry_after(self, retry_after: Duration) -> Self {
        self.map(|inner| inner.retry_after = Some(retry_after))
    }

    pub(crate) fn with_failure(self, failure: &str) -> Self {
        self.map(|inner| inner.cause = Some(Cause::Failure(FirstFailure(failure.into()))))
    }

    pub(crate) fn on_operation(self, operation: &str) -> Self {
        self.map(|inner| {
            inner.operation.get_or_insert_with(|| operation.into());
        })
    }

    /// Adds the key, before the record is known.
    pub(crate) fn with_key(self, key: &str) -> Self {
        self.map(|inner| {
            inner.key.get_or_insert_with(|| key.into());
        })
    }

    /// Adds the record's name.
    pub(crate) fn with_record(self, name: &Arc<str>) -> Self {
        self.map(|inner| {
            inner.record.get_or_insert_with(|| Arc::clone(name));
        })
    }

    /// Changes the error, or a copy if it is shared.
    fn map(mut self, change: impl FnOnce(&mut ErrorInner)) -> Self {
        change(Arc::make_mut(&mut self.0));
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        match (&self.0.operation, self.key_hash()) {
            (Some(operation), Some(hash)) => {
                write!(f, " (operation `{operation}`, key hash {hash})")
            }
            (Some(operation), None) => write!(f, " (operation `{operation}`)"),
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(operation) = &self.0.operation {
            debug.field("operation", operation);
        }
        if let Some(hash) = self.key_hash() {
            debug.field("key_hash", &hash);
        }
        if let Some(retry_after) = &self.0.retry_after {
            debug.field("retry_after", retry_after);
        }
        match &self.0.cause {
            Some(Cause::Storage(error)) => debug.field("source", error),
            Some(Cause::Other(error)) => debug.field("source", error),
            // The application's own text: the application decides where it is shown.
            Some(Cause::Failure(_)) | None => &mut debug,
        };
        debug.finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self.0.cause.as_ref()? {
            Cause::Storage(error) => error.source(),
            Cause::Failure(failure) => Some(failure),
            Cause::Other(error) => chain::next(&self.0.message, &**error),
        }
    }
}

impl From<StorageError> for Error {
    fn from(error: StorageError) -> Self {
        let kind = match error.kind() {
            StorageErrorKind::NotApplied
            | StorageErrorKind::Indeterminate
            | StorageErrorKind::Full => ErrorKind::Storage,
            StorageErrorKind::Corrupt | StorageErrorKind::NewerVersion => ErrorKind::Corrupt,
            StorageErrorKind::Configuration => ErrorKind::Configuration,
        };
        Self::new(kind, error.to_string()).map(|inner| inner.cause = Some(Cause::Storage(error)))
    }
}

#[cfg(test)]
mod tests;
