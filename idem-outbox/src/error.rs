//! The errors of an outbox.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;

use idem_runtime::internal::next_source;

/// Why an event was not enqueued, published or read. Act on [`kind`](OutboxError::kind).
///
/// The text never holds payloads or keys. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct OutboxError {
    kind: OutboxErrorKind,
    message: Cow<'static, str>,
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

/// The kind of an [`OutboxError`]: what happened, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutboxErrorKind {
    /// The connection is not inside a transaction, so the event would be committed without its
    /// change.
    ///
    /// *Do:* begin a transaction, and enqueue in it.
    NotInTransaction,
    /// The topic or the key is empty, too long, or has a control character.
    ///
    /// *Do:* fix the caller.
    Invalid,
    /// The payload is larger than the outbox accepts.
    ///
    /// *Do:* put a reference to the data into the event instead of the data, or raise the limit, if
    /// the broker accepts that much.
    TooLarge,
    /// The event cannot be serialized as JSON.
    ///
    /// *Do:* fix its `Serialize`.
    Serialization,
    /// A message is no event, or its payload is not of the type asked for.
    ///
    /// *Do:* find the producer of the message. A redelivery changes nothing.
    Malformed,
    /// The database could not be reached, or a transient error occurred. The source is its error.
    ///
    /// *Do:* roll the transaction back, and run all of it again.
    Database,
    /// A table or a right is missing, or a setting or an address is wrong.
    ///
    /// *Do:* what the text says.
    Configuration,
    /// A newer version of this library has upgraded the tables.
    ///
    /// *Do:* upgrade this library.
    NewerVersion,
}

impl OutboxError {
    pub(super) fn new(kind: OutboxErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    pub(super) fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What happened.
    pub fn kind(&self) -> OutboxErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later; in a transaction, after the whole transaction is
    /// run again.
    pub fn is_retryable(&self) -> bool {
        self.kind == OutboxErrorKind::Database
    }
}

impl fmt::Display for OutboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for OutboxError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().and_then(|source| next_source(&self.message, source))
    }
}
