//! The one error type of the public API: a kind to act on, and the source kept.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::storage::{StorageError, StorageErrorKind};

/// Why an operation did not return its own result.
///
/// Act on [`kind`](Error::kind); show the `Display` text to people. The text never holds payloads, arguments or raw keys.
/// Cloning is cheap.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: Cow<'static, str>,
    operation: Option<Box<str>>,
    retry_after: Option<Duration>,
    failure: Option<Box<str>>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

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
    /// *Do:* handle it like the original failure, whose text is [`Error::failure`]; a new attempt needs a new key.
    PreviouslyFailed,
    /// Nobody knows whether the effect happened: the owner died half way and the operation's crash policy is `park`, or a transaction's
    /// `COMMIT` was not answered and what became of it could not be read back.
    ///
    /// *Do:* for a parked call look at the outside system, then resolve the record by hand; calling again changes nothing. For a transaction,
    /// where [`Error::is_retryable`] is true, call again with the same key in a new one: it replays if the first was committed.
    Indeterminate,
    /// The key was used before with other arguments or for another operation.
    ///
    /// *Do:* fix the caller; a key names one intended effect.
    Mismatch,
    /// This call's lease ran out while its body ran, and another owner took over and is still running.
    ///
    /// *Do:* call again with the same key to get the other owner's result; raise `lease` if bodies are this slow.
    LeaseLost,
    /// The storage could not be reached, refused, or did not answer in time, before the body ran.
    ///
    /// *Do:* call again with the same key; the source says what the storage's trouble is.
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
    /// *Do:* call `idempotency::set_global` once at start-up.
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
            retry_after: None,
            failure: None,
            source: None,
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

    /// How long to wait before calling again, for [`ErrorKind::AlreadyProcessing`]: what is left of the runner's lease.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// The text of the first call's failure, for [`ErrorKind::PreviouslyFailed`].
    pub fn failure(&self) -> Option<&str> {
        self.0.failure.as_deref()
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
    /// use idem_runtime::{Disposition, Error};
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

    fn storage_error(&self) -> Option<&StorageError> {
        self.source().and_then(|source| source.downcast_ref())
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
        self.map(|inner| inner.source = Some(source.into()))
    }

    pub(crate) fn with_retry_after(self, retry_after: Duration) -> Self {
        self.map(|inner| inner.retry_after = Some(retry_after))
    }

    pub(crate) fn with_failure(self, failure: &str) -> Self {
        self.map(|inner| inner.failure = Some(failure.into()))
    }

    pub(crate) fn on_operation(self, operation: &str) -> Self {
        self.map(|inner| {
            inner.operation.get_or_insert_with(|| operation.into());
        })
    }

    /// Changes an error that is still being built; one that is shared already stays as it is.
    fn map(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        if let Some(inner) = Arc::get_mut(&mut self.0) {
            change(inner);
        }
        self
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)?;
        if let Some(operation) = &self.0.operation {
            write!(f, " (operation `{operation}`)")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Error");
        debug.field("kind", &self.0.kind).field("message", &self.0.message);
        if let Some(operation) = &self.0.operation {
            debug.field("operation", operation);
        }
        if let Some(retry_after) = &self.0.retry_after {
            debug.field("retry_after", retry_after);
        }
        if let Some(source) = &self.0.source {
            debug.field("source", source);
        }
        debug.finish_non_exhaustive()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as &(dyn StdError + 'static))
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
        Self::new(kind, error.to_string()).with_source(error)
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
