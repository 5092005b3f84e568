//! Requests with a key that are handled without idempotency.

use http::{HeaderMap, HeaderValue};

use crate::telemetry;

/// The reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// The request's body is larger than the layer reads.
    RequestTooLarge,
    /// The response's body is larger than the layer reads.
    ResponseTooLarge,
    /// The response is a stream of server-sent events.
    EventStream,
    /// The connection switches to another protocol.
    Upgrade,
}

/// The header of a response whose request was handled without idempotency: the reason.
const BYPASSED: &str = "idempotency-bypassed";

impl Bypass {
    fn as_str(self) -> &'static str {
        match self {
            Self::RequestTooLarge => "request-too-large",
            Self::ResponseTooLarge => "response-too-large",
            Self::EventStream => "event-stream",
            Self::Upgrade => "upgrade",
        }
    }

    pub(crate) fn count(self) {
        telemetry::bypassed(self.as_str());
    }

    /// Counts it, and sets the header of the response.
    pub(crate) fn mark(self, response: &mut HeaderMap) {
        self.count();
        response.insert(BYPASSED, HeaderValue::from_static(self.as_str()));
    }
}
