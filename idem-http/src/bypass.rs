//! Requests that have a key and pass through without idempotency.

use http::{HeaderMap, HeaderValue};

use crate::telemetry;

/// Why.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bypass {
    /// The request's body is larger than the layer reads.
    RequestTooLarge,
    /// The response's is.
    ResponseTooLarge,
    /// The response is one of server-sent events.
    EventStream,
    /// The connection becomes another protocol's.
    Upgrade,
}

/// Says of a response that the key of its request was not honoured, and why.
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

    /// Counts it, and says so in the response.
    pub(crate) fn tell(self, response: &mut HeaderMap) {
        self.count();
        response.insert(BYPASSED, HeaderValue::from_static(self.as_str()));
    }
}
