//! Where events go: the trait that brokers are behind.

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

use super::Event;
use idem_runtime::internal::next_source;

/// Hands events to a broker.
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
    /// Hands one event to the broker.
    ///
    /// - `Ok` means that the broker has it and will not forget it. The event is then removed from the outbox.
    /// - The same event may come again with the same [`id`](Event::id): it is published *at least* once.
    /// - Events of one topic and key come one after the other, those of different keys at the same time.
    /// - A call that takes longer than the relay's `publish_timeout` is dropped and counts as failed. The event may have been published.
    ///
    /// # Errors
    ///
    /// The kind of [`PublishError`] decides what happens to the event. Its text is kept with the event, so it must hold no secrets.
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
    /// The broker cannot be reached or takes nothing at all: no event's fault, so it is not counted against one. The relay pauses.
    Unavailable,
    /// This event was not taken, and may be later. It is tried again, and put aside as a dead letter after so many attempts.
    Retryable,
    /// This event will never be taken. It is put aside at once.
    Permanent,
}

impl PublishError {
    /// An error of `kind`. The text says what failed: lowercase, no full stop, no payload, no password.
    pub fn new(kind: PublishErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, message: message.into(), source: None }
    }

    /// The broker cannot be reached or takes nothing at all.
    pub fn unavailable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(PublishErrorKind::Unavailable, message)
    }

    /// This event was not taken, and may be later.
    pub fn retryable(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(PublishErrorKind::Retryable, message)
    }

    /// This event will never be taken.
    pub fn permanent(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(PublishErrorKind::Permanent, message)
    }

    /// Keeps what caused it.
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
