//! NATS `JetStream` as a broker.

use std::error::Error as StdError;
use std::fmt;

use async_nats::connection::State;
use async_nats::jetstream::context::PublishErrorKind as NatsErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::{self, Context};
use async_nats::{HeaderMap, HeaderValue, Message};
use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};

use super::error::OutboxError;
use super::event::malformed;
use super::publisher::{PublishError, PublishErrorKind, Publisher};
use super::{Event, EventId};
use idem_runtime::record::Timestamp;

/// Publishes each event to the subject that its topic names, and waits until a stream has stored
/// it.
///
/// The message's payload is the event's. Its header `Nats-Msg-Id` is the event's id, so the stream
/// drops repetitions within its duplicate window, two minutes by default. `Outbox-Topic`,
/// `Outbox-Key` (both percent-encoded) and `Outbox-Enqueued-At` (milliseconds since the Unix epoch)
/// hold the rest; [`Event`] is made from them with `TryFrom`. A consumer with the `async-nats`
/// crate:
///
/// ```no_run
/// # async fn on_event(event: idempotency::outbox::Event) -> Result<(), idempotency::Error> { Ok(()) }
/// # async fn to_dead_letters(message: &async_nats::jetstream::Message) -> Result<(), async_nats::Error> { Ok(()) }
/// # async fn example(
/// #     consumer: async_nats::jetstream::consumer::PullConsumer,
/// # ) -> Result<(), async_nats::Error> {
/// use async_nats::jetstream::AckKind;
/// use futures_util::StreamExt;
/// use idempotency::Disposition;
/// use idempotency::outbox::Event;
///
/// let mut messages = consumer.messages().await?;
/// while let Some(message) = messages.next().await {
///     let message = message?;
///     // Annotated with `name = "billing", key = "billing:{event.id}", on_error = "release"`.
///     let handled = on_event(Event::try_from(&*message)?).await;
///     match handled.map_err(|error| error.disposition()) {
///         Ok(()) | Err(Disposition::Acknowledge) => message.ack().await?,
///         Err(Disposition::DeadLetter) => {
///             to_dead_letters(&message).await?;
///             message.ack_with(AckKind::Term).await?;
///         }
///         Err(Disposition::Redeliver { after }) => message.ack_with(AckKind::Nak(after)).await?,
///         Err(_) => message.ack_with(AckKind::Nak(None)).await?,
///     }
/// }
/// # Ok(())
/// # }
/// ```
///
/// `docs/outbox.md` of the repository says what to do about the handler's own errors.
///
/// An event whose topic is not a valid subject (white space, wildcards, empty parts) becomes a dead
/// letter at once.
#[derive(Clone)]
pub struct JetStream {
    context: Context,
    prefix: String,
}

/// Names of headers. Streams drop repetitions by the first one.
const ID: &str = "Nats-Msg-Id";
const TOPIC: &str = "Outbox-Topic";
const KEY: &str = "Outbox-Key";
const ENQUEUED_AT: &str = "Outbox-Enqueued-At";

/// Characters that a header cannot hold, or that clients trim.
const ESCAPED: &AsciiSet = &CONTROLS.add(b' ').add(b'%');

impl JetStream {
    /// Publishes through the application's own connection. The streams that store the subjects must
    /// exist.
    pub fn new(context: Context) -> Self {
        Self { context, prefix: String::new() }
    }

    /// The prefix of all subjects, such as `shop.`. Default: none.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }
}

impl Publisher for JetStream {
    async fn publish(&self, event: &Event) -> Result<(), PublishError> {
        let subject = format!("{}{}", self.prefix, event.topic);
        if !is_subject(&subject) {
            return Err(PublishError::permanent("the event's topic is not a valid nats subject"));
        }
        // A disconnected client would queue the message, and publish it after later ones.
        if self.context.client().connection_state() != State::Connected {
            return Err(PublishError::unavailable("there is no connection to nats"));
        }
        let message = PublishMessage::build()
            .payload(event.payload.clone())
            .message_id(event.id.to_string())
            .header(TOPIC, utf8_percent_encode(&event.topic, ESCAPED).to_string())
            .header(KEY, utf8_percent_encode(&event.key, ESCAPED).to_string())
            .header(ENQUEUED_AT, event.enqueued_at.as_millis().to_string());
        let acknowledged = self.context.send_publish(subject, message).await.map_err(refused)?;
        acknowledged.await.map(drop).map_err(refused)
    }
}

/// Classifies a failure.
fn refused(error: jetstream::context::PublishError) -> PublishError {
    use PublishErrorKind::{Permanent, Retryable, Unavailable};

    let (kind, message) = match error.kind() {
        NatsErrorKind::MaxPayloadExceeded => (Permanent, "the event is larger than nats accepts"),
        NatsErrorKind::StreamNotFound => (Retryable, "no stream stores the event's topic"),
        NatsErrorKind::TimedOut => (Unavailable, "nats did not answer in time"),
        NatsErrorKind::BrokenPipe => (Unavailable, "the connection to nats broke"),
        NatsErrorKind::MaxAckPending => {
            (Unavailable, "too many messages wait for an acknowledgement of nats")
        }
        _ if is_of_server(&error) => (Unavailable, "the stream cannot store messages now"),
        _ => (Retryable, "the stream refused the event"),
    };
    PublishError::new(kind, message).with_source(error)
}

/// Whether the server reports an internal error.
fn is_of_server(error: &jetstream::context::PublishError) -> bool {
    let answer = error.source().and_then(|source| source.downcast_ref::<jetstream::Error>());
    answer.is_some_and(|answer| answer.code() >= 500)
}

/// Whether a text is a subject that can be published to.
fn is_subject(text: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && !part.contains(|char: char| char.is_whitespace() || "*>".contains(char))
    };
    text.split('.').all(is_part)
}

impl TryFrom<&Message> for Event {
    type Error = OutboxError;

    /// The event in a message that [`JetStream`] published.
    fn try_from(message: &Message) -> Result<Self, OutboxError> {
        let none = HeaderMap::new();
        let headers = message.headers.as_ref().unwrap_or(&none);
        let read = |name: &'static str| {
            headers.get(name).map(HeaderValue::as_str).ok_or_else(|| malformed(name))
        };
        let decoded = |name| {
            let text = percent_decode_str(read(name)?).decode_utf8();
            text.map(String::from).map_err(|_| malformed(name))
        };
        let id: EventId = read(ID)?.parse()?;
        let at = read(ENQUEUED_AT)?.parse().map_err(|_| malformed(ENQUEUED_AT))?;
        let event = Self::new(id, decoded(TOPIC)?, decoded(KEY)?, message.payload.clone());
        Ok(event.enqueued_at(Timestamp::from_millis(at)))
    }
}

impl fmt::Debug for JetStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JetStream").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_told_from_other_texts() {
        for subject in ["orders", "shop.orders.v1", "Zoë", "a$b"] {
            assert!(is_subject(subject), "{subject}");
        }
        for other in ["", "a b", "a.", ".a", "a..b", "a.*", "a.>", "a\tb", "a\u{2003}b"] {
            assert!(!is_subject(other), "{other}");
        }
    }
}
