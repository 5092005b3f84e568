//! What an outbox can say instead of an answer.

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

/// What a caller may conclude from an [`OutboxError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OutboxErrorKind {
    /// The connection is not inside a transaction: the event would be committed by itself, whatever becomes of what it tells of.
    ///
    /// *Do:* begin a transaction, and enqueue in it.
    NotInTransaction,
    /// The topic or the key is empty, too long, or has a control character.
    ///
    /// *Do:* fix the caller.
    Invalid,
    /// The payload is larger than the outbox takes.
    ///
    /// *Do:* put a reference to the data into the event instead of the data, or raise the limit to what the broker takes as well.
    TooLarge,
    /// The event cannot be written as JSON.
    ///
    /// *Do:* fix its `Serialize`.
    Serialization,
    /// A message is no event, or its payload is not of the type asked for.
    ///
    /// *Do:* look at who writes to that stream; delivering it again changes nothing.
    Malformed,
    /// The database could not be reached, or refused the statement for now. The source is its error.
    ///
    /// *Do:* roll the transaction back and run the whole of it again.
    Database,
    /// Somebody has to change something: tables that are not there, rights, a setting, an address.
    ///
    /// *Do:* what the text says.
    Configuration,
    /// The tables were made by a newer version of this library.
    ///
    /// *Do:* upgrade.
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

    /// What a caller may conclude.
    pub fn kind(&self) -> OutboxErrorKind {
        self.kind
    }

    /// Whether the same may succeed a moment later, for the whole transaction where there is one.
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
