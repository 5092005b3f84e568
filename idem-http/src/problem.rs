//! The answer to a request that is not handled: a problem document (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use idem_runtime::{Error, ErrorKind};
use serde::Serialize;

use crate::body::{Body, Whole};

/// The page that describes every problem; a problem's `type` is its section there.
pub const PROBLEMS_PAGE: &str =
    "https://github.com/idempotency-rs/idempotency/blob/main/docs/http-problems.md";

/// The kind of a problem. Each has a stable `code` and `type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// 400: the operation requires a key and the request has none.
    KeyMissing,
    /// 400: the header occurs more than once.
    KeyRepeated,
    /// 400: the header is neither a quoted string nor a bare token.
    KeyMalformed,
    /// 400: the key is longer than the layer allows.
    KeyTooLong,
    /// 403: the principal resolver does not know the sender.
    PrincipalUnknown,
    /// 400: the request's body could not be read to its end.
    BodyUnreadable,
    /// 408: the request's body did not arrive in time.
    BodyTimeout,
    /// 413: the request's body is larger than what the layer reads.
    BodyTooLarge,
    /// 422: the key was used before for another request.
    KeyReused,
    /// 409 with `Retry-After`: a request with this key is being handled.
    InProgress,
    /// 409: a request with this key was begun, and its outcome is unknown.
    OutcomeUnknown,
    /// 409: the request was handled before, and its response cannot be replayed.
    ResponseNotStored,
    /// 429 with `Retry-After`: the principal has used up its new keys for now.
    QuotaExceeded,
    /// 500: the handler panicked, or its response broke off.
    HandlerFailed,
    /// 500: the stored record cannot be read.
    RecordUnreadable,
    /// 500: the service is misconfigured.
    Misconfigured,
    /// 503 with `Retry-After`: the storage is down; the request was not handled.
    StorageUnavailable,
}

impl ProblemKind {
    /// All kinds.
    pub const ALL: [Self; 17] = [
        Self::KeyMissing,
        Self::KeyRepeated,
        Self::KeyMalformed,
        Self::KeyTooLong,
        Self::PrincipalUnknown,
        Self::BodyUnreadable,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::KeyReused,
        Self::InProgress,
        Self::OutcomeUnknown,
        Self::ResponseNotStored,
        Self::QuotaExceeded,
        Self::HandlerFailed,
        Self::RecordUnreadable,
        Self::Misconfigured,
        Self::StorageUnavailable,
    ];

    /// The kind's stable name in `kebab-case`: the member `code` of the document, and its section
    /// on the page of problems.
    pub fn code(self) -> &'static str {
        match self {
            Self::KeyMissing => "key-missing",
            Self::KeyRepeated => "key-repeated",
            Self::KeyMalformed => "key-malformed",
            Self::KeyTooLong => "key-too-long",
            Self::PrincipalUnknown => "principal-unknown",
            Self::BodyUnreadable => "body-unreadable",
            Self::BodyTimeout => "body-timeout",
            Self::BodyTooLarge => "body-too-large",
            Self::KeyReused => "key-reused",
            Self::InProgress => "in-progress",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::ResponseNotStored => "response-not-stored",
            Self::QuotaExceeded => "quota-exceeded",
            Self::HandlerFailed => "handler-failed",
            Self::RecordUnreadable => "record-unreadable",
            Self::Misconfigured => "misconfigured",
            Self::StorageUnavailable => "storage-unavailable",
        }
    }

    /// The default status, which a profile may change.
    pub fn status(self) -> StatusCode {
        match self {
            Self::KeyMissing
            | Self::KeyRepeated
            | Self::KeyMalformed
            | Self::KeyTooLong
            | Self::BodyUnreadable => StatusCode::BAD_REQUEST,
            Self::PrincipalUnknown => StatusCode::FORBIDDEN,
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::InProgress | Self::OutcomeUnknown | Self::ResponseNotStored => {
                StatusCode::CONFLICT
            }
            Self::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
            Self::QuotaExceeded => StatusCode::TOO_MANY_REQUESTS,
            Self::HandlerFailed | Self::RecordUnreadable | Self::Misconfigured => {
                StatusCode::INTERNAL_SERVER_ERROR
            }
            Self::StorageUnavailable => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::KeyMissing => "Idempotency-Key is missing",
            Self::KeyRepeated => "Idempotency-Key occurs more than once",
            Self::KeyMalformed => "Idempotency-Key is malformed",
            Self::KeyTooLong => "Idempotency-Key is too long",
            Self::PrincipalUnknown => "The sender of the request is not known",
            Self::BodyUnreadable => "The request's body cannot be read",
            Self::BodyTimeout => "The request's body did not arrive in time",
            Self::BodyTooLarge => "The request's body is too large",
            Self::KeyReused => "Idempotency-Key is already used",
            Self::InProgress => "A request is outstanding for this Idempotency-Key",
            Self::OutcomeUnknown => "The outcome of the request is not known",
            Self::ResponseNotStored => "The response cannot be replayed",
            Self::QuotaExceeded => "Too many new keys",
            Self::HandlerFailed => "The request failed",
            Self::RecordUnreadable => "The stored response cannot be read",
            Self::Misconfigured => "The service is misconfigured",
            Self::StorageUnavailable => "The request was not handled",
        }
    }

    fn detail(self) -> &'static str {
        match self {
            Self::KeyMissing => "This operation requires the header Idempotency-Key.",
            Self::KeyRepeated => "Send the header Idempotency-Key once.",
            Self::KeyMalformed => {
                "Idempotency-Key has to be a string in double quotes, such as \"8e03978e-40d5-43e8-bc93-6894a57f9324\", or the same without quotes."
            }
            Self::KeyTooLong => "Use a shorter key, such as a UUID.",
            Self::PrincipalUnknown => {
                "A key belongs to its sender, and this request has no authenticated sender."
            }
            Self::BodyUnreadable => "The body broke off. Send the request again with the same key.",
            Self::BodyTimeout => "Send the request again with the same key.",
            Self::BodyTooLarge => {
                "The body is larger than this operation accepts together with a key."
            }
            Self::KeyReused => {
                "The key was used before for another request. Use a new key for a new request."
            }
            Self::InProgress => {
                "A request with this key is being handled. Send it again after the time in Retry-After."
            }
            Self::OutcomeUnknown => {
                "A request with this key was interrupted. It will not be handled again with this key; ask the operator of the service."
            }
            Self::ResponseNotStored => {
                "A request with this key was handled, but its response was not stored. It will not be handled again with this key."
            }
            Self::QuotaExceeded => {
                "Send the request again with the same key after the time in Retry-After."
            }
            Self::HandlerFailed => "The service failed while it handled the request.",
            Self::RecordUnreadable => {
                "The stored record of this key cannot be read. The request was not handled."
            }
            Self::Misconfigured => "The request was not handled.",
            Self::StorageUnavailable => {
                "The service cannot tell now whether the key was used before, so it did not handle the request. Send it again with the same key."
            }
        }
    }
}

/// A problem document, `application/problem+json`.
///
/// Its members are `type`, `title`, `status`, `detail` and `code`. They depend on the kind alone
/// and reveal nothing of a request.
///
/// A handler can return it, and an application's error can hold it. `?` converts this crate's
/// errors to it, with the status, `Retry-After` and document of the layer's own answers:
///
/// ```
/// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
/// use idempotency::http::Problem;
///
/// async fn handler() -> Result<String, Problem> {
///     let idem = idempotency::Idempotency::memory();
///     let ttl = std::time::Duration::from_secs(900);
///     Ok(idem.execute("order:42", ttl, async { Ok::<_, idempotency::Error>("done".to_owned()) }).await?)
/// }
/// ```
///
/// As a part of the application's own error:
///
/// ```
/// # mod idempotency { pub use idem_runtime::*; pub use idem_http as http; }
/// use axum::http::StatusCode;
/// use axum::response::{IntoResponse, Response};
/// use idempotency::http::Problem;
/// use idempotency::{Error, ErrorKind};
///
/// enum ApiError {
///     Declined,
///     Problem(Problem),
/// }
///
/// impl From<Error> for ApiError {
///     fn from(error: Error) -> Self {
///         match error.kind() {
///             // A retry gets the answer of the first attempt.
///             ErrorKind::PreviouslyFailed => Self::Declined,
///             _ => Self::Problem(error.into()),
///         }
///     }
/// }
///
/// impl IntoResponse for ApiError {
///     fn into_response(self) -> Response {
///         match self {
///             Self::Declined => StatusCode::PAYMENT_REQUIRED.into_response(),
///             Self::Problem(problem) => IntoResponse::into_response(problem),
///         }
///     }
/// }
///
/// let busy = Error::new(ErrorKind::AlreadyProcessing, "a call with this key is running");
/// let response = ApiError::from(busy).into_response();
/// assert_eq!(response.status(), StatusCode::CONFLICT);
/// assert!(response.headers().contains_key("retry-after"));
/// let failed = Error::new(ErrorKind::PreviouslyFailed, "the first call failed");
/// assert_eq!(ApiError::from(failed).into_response().status(), StatusCode::PAYMENT_REQUIRED);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemKind,
    status: StatusCode,
    retry_after: Option<Duration>,
    page: Cow<'static, str>,
}

/// The `Retry-After` of a storage that is down.
const STORAGE_BACK: Duration = Duration::from_secs(1);

impl Problem {
    /// The problem of this kind.
    pub fn new(kind: ProblemKind) -> Self {
        let retry_after = (kind == ProblemKind::StorageUnavailable).then_some(STORAGE_BACK);
        let page = Cow::Borrowed(PROBLEMS_PAGE);
        Self { kind, status: kind.status(), retry_after, page }
    }

    /// Another status.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// With `Retry-After`, in whole seconds and at least one.
    #[must_use]
    pub fn with_retry_after(mut self, retry_after: Duration) -> Self {
        self.retry_after = Some(retry_after);
        self
    }

    /// Another page that describes the problems, with a section for every
    /// [code](ProblemKind::code).
    #[must_use]
    pub fn with_page(mut self, page: impl Into<Cow<'static, str>>) -> Self {
        self.page = page.into();
        self
    }

    /// The kind.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }

    fn document(&self) -> Bytes {
        #[derive(Serialize)]
        struct Document<'a> {
            r#type: &'a str,
            title: &'a str,
            status: u16,
            detail: &'a str,
            code: &'a str,
        }

        let document = Document {
            r#type: &format!("{}#{}", self.page, self.kind.code()),
            title: self.kind.title(),
            status: self.status.as_u16(),
            detail: self.kind.detail(),
            code: self.kind.code(),
        };
        // Strings and a number always are JSON.
        serde_json::to_vec(&document).unwrap_or_default().into()
    }

    pub(crate) fn into_response<B>(self) -> Response<Body<B>> {
        let body = Whole { data: self.document(), trailers: None };
        let mut response = Response::new(Body::whole(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CONTENT_LANGUAGE, HeaderValue::from_static("en"));
        if let Some(retry_after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, seconds(retry_after).into());
        }
        response
    }
}

/// Rounded up, so that no client retries too early.
fn seconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0)).max(1)
}

/// The `Retry-After` of a request under way, which may complete long before its lease is over.
const SOON: Duration = Duration::from_secs(1);

impl From<&Error> for Problem {
    fn from(error: &Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::AlreadyProcessing | ErrorKind::LeaseLost | ErrorKind::Reentrant => {
                ProblemKind::InProgress
            }
            ErrorKind::Mismatch => ProblemKind::KeyReused,
            ErrorKind::Indeterminate => ProblemKind::OutcomeUnknown,
            ErrorKind::Storage => ProblemKind::StorageUnavailable,
            ErrorKind::TooLarge | ErrorKind::Serialization => ProblemKind::ResponseNotStored,
            ErrorKind::KeyGeneration => ProblemKind::KeyMalformed,
            ErrorKind::Corrupt => ProblemKind::RecordUnreadable,
            ErrorKind::PreviouslyFailed => ProblemKind::HandlerFailed,
            _ => ProblemKind::Misconfigured,
        };
        match kind {
            ProblemKind::InProgress => Self::new(kind).with_retry_after(SOON),
            _ => Self::new(kind),
        }
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::from(&error)
    }
}

impl axum::response::IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        self.into_response::<axum::body::Body>().map(axum::body::Body::new)
    }
}
