//! An event, and its id, which is the same in every delivery.

use std::fmt;
use std::str::FromStr;

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::error::{OutboxError, OutboxErrorKind};
use idem_runtime::record::Timestamp;

/// Identifies an event in all its deliveries: a UUID of version 7 (RFC 9562), made when the event
/// is enqueued.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

impl EventId {
    /// A new id.
    pub fn random() -> Self {
        Self(Uuid::now_v7())
    }
}

impl FromStr for EventId {
    type Err = OutboxError;

    fn from_str(text: &str) -> Result<Self, OutboxError> {
        let malformed = |error| {
            let message = "an event's id is a uuid";
            OutboxError::new(OutboxErrorKind::Malformed, message).with_source(error)
        };
        Uuid::from_str(text).map(Self).map_err(malformed)
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An event on its way from an outbox to a consumer.
///
/// It serializes to the same text in every delivery, so it can be an argument of an annotated
/// function. A consumer with `#[idempotent(name = "billing", key = "billing:{event.id}", retry_if =
/// …)]` handles each event once. `Debug` shows neither key nor payload.
#[derive(Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Event {
    /// The same in every delivery.
    pub id: EventId,
    /// Its destination: the stream, the subject.
    pub topic: String,
    /// Its subject. Events of one topic and key are published in the order in which they were
    /// enqueued.
    pub key: String,
    /// Its content: JSON, or the bytes that the producer enqueued.
    #[serde(serialize_with = "as_bytes")]
    pub payload: Bytes,
    /// When it was enqueued, by the clock of the producer's database.
    #[serde(skip)]
    pub enqueued_at: Timestamp,
}

fn as_bytes<S: Serializer>(bytes: &Bytes, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_bytes(bytes)
}

impl Event {
    /// An event as a consumer receives it, for tests of consumers and for other brokers.
    pub fn new(
        id: EventId,
        topic: impl Into<String>,
        key: impl Into<String>,
        payload: impl Into<Bytes>,
    ) -> Self {
        let enqueued_at = Timestamp::from_millis(0);
        Self { id, topic: topic.into(), key: key.into(), payload: payload.into(), enqueued_at }
    }

    /// The same event, enqueued at another time.
    #[must_use]
    pub fn enqueued_at(mut self, at: Timestamp) -> Self {
        self.enqueued_at = at;
        self
    }

    /// Deserializes the payload from JSON.
    ///
    /// # Errors
    ///
    /// [`OutboxErrorKind::Malformed`] if the payload is not the JSON of a `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, OutboxError> {
        serde_json::from_slice(&self.payload).map_err(|error| {
            // The parser's error quotes the payload.
            let place = format!("line {}, column {}", error.line(), error.column());
            let message =
                format!("the event's payload is not the json of the expected type ({place})");
            OutboxError::new(OutboxErrorKind::Malformed, message)
        })
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("id", &self.id)
            .field("topic", &self.topic)
            .field("payload_bytes", &self.payload.len())
            .finish_non_exhaustive()
    }
}

/// The error for a message that is not an event.
#[cfg(any(feature = "redis", feature = "nats"))]
pub(super) fn malformed(field: &str) -> OutboxError {
    let message =
        format!("the message is not an event of an outbox: its `{field}` is missing or wrong");
    OutboxError::new(OutboxErrorKind::Malformed, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use idem_runtime::Fingerprint;

    #[test]
    fn deliveries_of_one_event_have_one_fingerprint() {
        let id = EventId::random();
        let event = || Event::new(id, "orders", "42", "{}");
        let late = event().enqueued_at(Timestamp::from_millis(1));
        let of = |event: &Event| Fingerprint::of("on_event", event).unwrap();
        assert_eq!(of(&event()), of(&late));
        assert_ne!(of(&event()), of(&Event::new(id, "orders", "42", "[]")));
    }

    #[test]
    fn ids_are_read_back_from_their_text() {
        let id = EventId::random();
        assert_eq!(id.to_string().parse::<EventId>().unwrap(), id);
        let error = "42".parse::<EventId>().unwrap_err();
        assert_eq!(error.kind(), OutboxErrorKind::Malformed);
    }

    #[test]
    fn debug_and_errors_show_no_payload() {
        let event = Event::new(EventId::random(), "orders", "card-4000", "\"4000-0001\"");
        let error = event.json::<u32>().unwrap_err();
        for text in [format!("{event:?}"), format!("{error:?}"), error.to_string()] {
            assert!(!text.contains("4000"), "{text}");
        }
    }
}
