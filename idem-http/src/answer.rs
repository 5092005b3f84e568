//! The engine's value for a request: a response, complete or not.

use std::sync::Arc;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use http_body::Body as HttpBody;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::body::{Body, Read, Whole, read};
use crate::bypass::Bypass;
use crate::config::{Config, OverLimit};
use crate::problem::Problem;
use crate::snapshot::{Restored, Snapshot};

/// A handler's response. The first caller gets it unchanged; its [`Snapshot`] is stored and
/// replayed.
pub(crate) enum HandlerAnswer<B> {
    /// A complete response.
    Whole { response: Parts, body: Whole, method: Method, config: Arc<Config> },
    /// A response that is not stored. The key is released or not.
    Passing { response: Response<Body<B>>, releases: bool },
    /// The layer's own answer; the key is released.
    Problem(Problem),
    /// The replayed response of an earlier call.
    Restored(Restored),
}

impl<B: HttpBody<Data = Bytes>> HandlerAnswer<B> {
    /// Reads a handler's response up to the limit; an error if it breaks off.
    pub(crate) async fn of(
        config: &Arc<Config>,
        method: Method,
        response: Response<B>,
    ) -> Result<Self, B::Error> {
        if let Some(why) = endless(&response) {
            why.count();
            return Ok(Self::Passing { response: response.map(Body::untouched), releases: true });
        }
        let (response, body) = response.into_parts();
        Ok(match read(body, config.response_limit.bytes).await? {
            Read::Whole(body) => Self::Whole { response, body, method, config: Arc::clone(config) },
            Read::TooLarge(body) => {
                let mut response = Response::from_parts(response, body);
                let releases = config.response_limit.over == OverLimit::Bypass;
                if releases {
                    Bypass::ResponseTooLarge.mark(response.headers_mut());
                }
                Self::Passing { response, releases }
            }
        })
    }
}

impl<B> HandlerAnswer<B> {
    /// Whether the response, or the fact that it cannot be stored, is recorded. Otherwise the key
    /// is released.
    pub(crate) fn is_kept(&self) -> bool {
        match self {
            Self::Whole { response, config, .. } => {
                (config.profile.stores)(response.status) && !asks_to_retry(response)
            }
            Self::Passing { releases, .. } => !releases,
            Self::Problem(_) | Self::Restored(_) => false,
        }
    }

    pub(crate) fn into_response(self) -> Response<Body<B>> {
        match self {
            Self::Whole { response, body, .. } => Response::from_parts(response, Body::whole(body)),
            Self::Passing { response, .. } => response,
            Self::Problem(problem) => problem.into_response(),
            Self::Restored(restored) => {
                let mut response = restored.into_response();
                response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
                response
            }
        }
    }
}

/// The header of a replayed response.
pub(crate) const REPLAYED: &str = "idempotent-replayed";

/// Responses without an end to wait for.
fn endless<B>(response: &Response<B>) -> Option<Bypass> {
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Some(Bypass::Upgrade);
    }
    is_event_stream(response.headers()).then_some(Bypass::EventStream)
}

fn is_event_stream(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let essence = kind.split(|&byte| byte == b';').next().unwrap_or_default();
    essence.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}

/// An error with `Retry-After` asks for another attempt.
fn asks_to_retry(response: &Parts) -> bool {
    let status = response.status;
    (status.is_client_error() || status.is_server_error())
        && response.headers.contains_key(header::RETRY_AFTER)
}

impl<B> Serialize for HandlerAnswer<B> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Whole { response, body, method, config } => {
                Snapshot::of(&config.kept, method, response, body).serialize(serializer)
            }
            _ => Err(S::Error::custom("the response is not whole")),
        }
    }
}

impl<'de, B> Deserialize<'de> for HandlerAnswer<B> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Restored::deserialize(deserializer).map(Self::Restored)
    }
}
