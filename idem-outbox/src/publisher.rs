//! The trait that brokers implement.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use super::Event;
use idem_runtime::internal::next_source;

/// Publishes events to a broker.
///
/// ```
/// use idempotency::outbox::{Event, PublishError, Publisher};
///
/// struct Printed;
///
/// impl Publisher for Printed {
///     async fn publish(&self, event: &Event) -> Result<(), PublishError> {
///         println!("{} to {}", event.id, event.topic);
///         Ok(())
///     }
/// }
/// ```
pub trait Publisher: Send + Sync {
    /// Publishes one event.
    ///
    /// - `Ok` means that the broker has stored the event durably. The relay then removes it from the
    ///   outbox.
    /// - Events are published *at least* once. A repeated event has the same [`id`](Event::id).
    /// - Events of one topic and key are published one after the other, those of different keys
    ///   concurrently.
    /// - A call that takes longer than the relay's `publish_timeout` is dropped and counts as a failed
    ///   attempt. The event may have been published.
    ///
    /// # Errors
    ///
    /// The kind of [`PublishError`] decides what happens to the event. Its text is stored with the
    /// event, so it must hold no secrets.
    fn publish(&self, event: &Event) -> impl Future<Output = Result<(), PublishError>> + Send;
}

impl<P: Publisher + ?Sized> Publisher for &P {
    fn publish(&self, event: &Event) -> impl Future<Output = Result<(), PublishError>> + Send {
        (**self).publish(event)
    }
}

impl<P: Publisher + ?Sized> Publisher for std::sync::Arc<P> {
    fn publish(&self, event: &Event) -> impl Future<Output = Result<(), PublishError>> + Send {
        (**self).publish(event)
    }
}

/// Why an event was not published.
#[derive(Debug)]
pub struct PublishError {
    kind: PublishErrorKind,
    message: Cow<'static, str>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What a relay does about a [`PublishError`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PublishErrorKind {
    /// The broker cannot be reached, or accepts no event. The relay pauses; the attempt does not
    /// count.
    Unavailable,
    /// The broker refused this event and may accept it later. The relay retries it, and makes it a
    /// dead letter after its `max_attempts`.
    Retryable,
    /// The broker will never accept this event. It becomes a dead letter at once.
    Permanent,
}

impl PublishError {
    /// An error of `kind`. The text says what failed: lowercase, no full stop, no payload, no
    /// password.
    pub fn new(kind: PublishErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// An error of kind [`Unavailable`](PublishErrorKind::Unavailable).
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(PublishErrorKind::Unavailable, message)
    }

    /// An error of kind [`Retryable`](PublishErrorKind::Retryable).
    pub fn retryable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(PublishErrorKind::Retryable, message)
    }

    /// An error of kind [`Permanent`](PublishErrorKind::Permanent).
    pub fn permanent(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(PublishErrorKind::Permanent, message)
    }

    /// Adds the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl StdError + Send + Sync + 'static) -> Self {
        self.source = Some(Box::new(source));
        self
    }

    /// What a relay does about it.
    pub fn kind(&self) -> PublishErrorKind {
        self.kind
    }
}

impl fmt::Display for PublishError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl StdError for PublishError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().and_then(|source| next_source(&self.message, source))
    }
}
