//! The one error type of the public API: a kind to act on, the call that it is about, and the source kept.
//!
//! A storage's error is shown as it is, and the chain goes on behind it. Everything else has a text of its own, and its source another one: see
//! [`chain`](crate::chain).

mod storage;

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use storage::{StorageError, StorageErrorKind};

use crate::chain;
use crate::key_hash::key_hash;

/// Why an operation did not return its own result.
///
/// Act on [`kind`](Error::kind); show the `Display` text to people. The text never holds payloads, arguments or raw keys: a key is shown as
/// the hash that the call's span and log lines have too, and [`key`](Error::key) is the whole of it for the program.
///
/// [`source`](StdError::source) has what the text does not say, and no error of the chain repeats another. The source of
/// [`PreviouslyFailed`](ErrorKind::PreviouslyFailed) is the first call's failure. Cloning is cheap.
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
pub struct Error(Arc<Inner>);

#[derive(Clone)]
struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    operation: Option<Arc<str>>,
    key: Option<Arc<str>>,
    /// The name of its record.
    record: Option<Arc<str>>,
    retry_after: Option<Duration>,
    cause: Option<Cause>,
}

/// What an error comes of.
#[derive(Clone)]
enum Cause {
    /// An error of the storage's that is shown as it is.
    Storage(StorageError),
    /// The first call's failure.
    Failure(FirstFailure),
    Other(Arc<dyn StdError + Send + Sync>),
}

/// The failure of the first call with a key, of which nothing but its text was stored.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
struct FirstFailure(Arc<str>);

/// What went wrong, in the terms a caller acts on. Each kind says what the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Another call with this key is running and its result did not arrive within `wait`.
    ///
    /// *Do:* call again with the same key after [`Error::retry_after`], or give the operation a longer `wait`.
    AlreadyProcessing,
    /// The first call with this key failed, and the failure is what its duplicates get.
    ///
    /// *Do:* handle it like the original failure, whose text is [`Error::failure`], and the error's source; a new attempt needs a new key.
    PreviouslyFailed,
    /// Nobody knows whether the effect happened: the owner died half way and the operation's crash policy is `park`, or a transaction's
    /// `COMMIT` was not answered and what became of it could not be read back.
    ///
    /// *Do:* for a parked call look at the outside system, then resolve the record by hand; calling again changes nothing. For a transaction,
    /// where [`Error::is_retryable`] is true, call again with the same key in a new one: it replays if the first was committed.
    Indeterminate,
    /// The key was used before with other arguments or for another operation. The text names that one where this process knows it.
    ///
    /// *Do:* fix the caller; a key names one intended effect.
    Mismatch,
    /// This call's lease ran out while its body ran, and another owner took over and is still running.
    ///
    /// *Do:* call again with the same key to get the other owner's result; raise `lease` if bodies are this slow.
    LeaseLost,
    /// The storage could not be reached, refused, or did not answer in time, before the body ran.
    ///
    /// *Do:* call again with the same key; the text says what the storage's trouble is, and the source what its client or server said.
    Storage,
    /// A result could not be encoded, or a stored one does not decode as the type asked for.
    ///
    /// *Do:* make the type's `Serialize` and `Deserialize` agree; choose a codec that can express it.
    Serialization,
    /// No valid key came of the arguments: empty, too long, not UTF-8, not serialisable.
    ///
    /// *Do:* fix the key template or the argument; the operation did not run.
    KeyGeneration,
    /// No storage was configured: neither `with`, nor a task-local override, nor a global one.
    ///
    /// *Do:* call `idempotency::set_global` once at start-up. A task that was spawned inside of `idempotency::with` does not inherit that: give it
    /// the handle, or wrap its future in `with` as well.
    NotConfigured,
    /// `set_global` was called a second time.
    ///
    /// *Do:* call it once; use `idempotency::with` for overrides.
    AlreadyConfigured,
    /// The body called the same operation with the same key again and would wait for itself.
    ///
    /// *Do:* remove the recursion or give the inner call another key.
    Reentrant,
    /// The stored record cannot be read: damaged, written by a newer version, or of another type.
    ///
    /// *Do:* upgrade, or inspect and remove the record by hand; it was left as it is and the body did not run.
    Corrupt,
    /// The first call's result was over the size limit, so that there is nothing to replay.
    ///
    /// *Do:* raise `max_result_size`, or return a reference to the data instead of the data.
    TooLarge,
    /// A setting makes no sense: a zero duration, a ttl shorter than the lease, a malformed URL, a server too old.
    ///
    /// *Do:* fix the configuration; the message names the setting.
    Configuration,
}

/// What a consumer does with a message whose call ended with one of this crate's errors; see [`Error::disposition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Disposition {
    /// Do not acknowledge it: another delivery may succeed.
    Redeliver {
        /// When, where that is known: then the other runner's lease is over.
        after: Option<Duration>,
    },
    /// Put it aside for a person, and acknowledge it: no delivery succeeds until somebody has changed something.
    DeadLetter,
    /// Acknowledge it: its effect has happened.
    Acknowledge,
}

impl ErrorKind {
    /// The kind's stable name in `snake_case`, for metrics and logs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AlreadyProcessing => "already_processing",
            Self::PreviouslyFailed => "previously_failed",
            Self::Indeterminate => "indeterminate",
            Self::Mismatch => "mismatch",
            Self::LeaseLost => "lease_lost",
            Self::Storage => "storage",
            Self::Serialization => "serialization",
            Self::KeyGeneration => "key_generation",
            Self::NotConfigured => "not_configured",
            Self::AlreadyConfigured => "already_configured",
            Self::Reentrant => "reentrant",
            Self::Corrupt => "corrupt",
            Self::TooLarge => "too_large",
            Self::Configuration => "configuration",
        }
    }
}

impl Error {
    /// An error of `kind` with a text for people: lowercase, no full stop, no payload, no raw key.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
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

    /// The call's key, without namespace and tenant, where one was made. It may hold personal data: think before logging it, and log
    /// [`key_hash`](Self::key_hash) in its place.
    pub fn key(&self) -> Option<&str> {
        self.0.key.as_deref()
    }

    /// Sixteen hex digits that stand for the key, namespace and tenant in the error's text, in spans and in log lines: the same in every process.
    pub fn key_hash(&self) -> Option<String> {
        self.0.record.as_deref().map(key_hash)
    }

    /// How long to wait before calling again, for [`ErrorKind::AlreadyProcessing`]: what is left of the runner's lease.
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

    /// What the storage said, where it is the storage's trouble.
    pub fn storage_error(&self) -> Option<&StorageError> {
        match &self.0.cause {
            Some(Cause::Storage(error)) => Some(error),
            Some(Cause::Other(error)) => error.downcast_ref(),
            _ => None,
        }
    }

    /// Whether calling again with the same key can succeed without anybody changing anything.
    pub fn is_retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::AlreadyProcessing | ErrorKind::LeaseLost => true,
            ErrorKind::Storage => self.storage_error().is_none_or(StorageError::is_transient),
            // A parked call's has no such source.
            ErrorKind::Indeterminate => {
                self.storage_error().is_some_and(StorageError::is_transient)
            }
            _ => false,
        }
    }

    /// What a consumer of a queue does with the message whose call ended with this error. (An error of the handler's own is the handler's to judge.)
    ///
    /// | kind | disposition |
    /// |---|---|
    /// | `AlreadyProcessing` | redeliver after [`retry_after`](Self::retry_after): another consumer runs it |
    /// | `LeaseLost`, `Storage`, an `Indeterminate` commit | redeliver: the next delivery replays or runs |
    /// | `Configuration`, `NotConfigured`, `AlreadyConfigured` | redeliver: the consumer is broken, not the message |
    /// | `PreviouslyFailed` | dead letter: it failed for good, in an earlier delivery |
    /// | `Mismatch`, `KeyGeneration`, `Reentrant` | dead letter: the message or the code is wrong |
    /// | `Corrupt`, a parked `Indeterminate` | dead letter: a person has to look |
    /// | `TooLarge`, `Serialization` | acknowledge: the effect has happened, and its result cannot be replayed |
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

    /// Says which key it is about, before it is certain which record.
    pub(crate) fn with_key(self, key: &str) -> Self {
        self.map(|inner| {
            inner.key.get_or_insert_with(|| key.into());
        })
    }

    /// Says which record it is about, by the record's name.
    pub(crate) fn with_record(self, name: &Arc<str>) -> Self {
        self.map(|inner| {
            inner.record.get_or_insert_with(|| Arc::clone(name));
        })
    }

    /// Changes an error, or a copy of it where others have it too.
    fn map(mut self, change: impl FnOnce(&mut Inner)) -> Self {
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
            // The application's own words, which it shows where it shows its errors.
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
mod tests {
    use super::*;

    #[test]
    fn every_kind_says_what_a_consumer_does_with_its_message() {
        let redeliver = Disposition::Redeliver { after: None };
        for (kind, disposition) in [
            (ErrorKind::AlreadyProcessing, redeliver),
            (ErrorKind::PreviouslyFailed, Disposition::DeadLetter),
            (ErrorKind::Indeterminate, Disposition::DeadLetter),
            (ErrorKind::Mismatch, Disposition::DeadLetter),
            (ErrorKind::LeaseLost, redeliver),
            (ErrorKind::Storage, redeliver),
            (ErrorKind::Serialization, Disposition::Acknowledge),
            (ErrorKind::KeyGeneration, Disposition::DeadLetter),
            (ErrorKind::NotConfigured, redeliver),
            (ErrorKind::AlreadyConfigured, redeliver),
            (ErrorKind::Reentrant, Disposition::DeadLetter),
            (ErrorKind::Corrupt, Disposition::DeadLetter),
            (ErrorKind::TooLarge, Disposition::Acknowledge),
            (ErrorKind::Configuration, redeliver),
        ] {
            assert_eq!(Error::new(kind, "text").disposition(), disposition, "{kind:?}");
        }
    }

    #[test]
    fn a_busy_key_says_when_to_deliver_again() {
        let after = Duration::from_secs(7);
        let busy = Error::new(ErrorKind::AlreadyProcessing, "busy").with_retry_after(after);
        assert_eq!(busy.disposition(), Disposition::Redeliver { after: Some(after) });
    }

    #[test]
    fn an_ambiguous_commit_is_delivered_again_and_a_parked_call_is_not() {
        let lost = StorageError::new(StorageErrorKind::Indeterminate, "the reply is lost");
        let commit = Error::new(ErrorKind::Indeterminate, "the commit").with_source(lost);
        assert_eq!(commit.disposition(), Disposition::Redeliver { after: None });
    }
}
