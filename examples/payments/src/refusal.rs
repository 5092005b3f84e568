//! What the API itself says no with; what the layer says no with is its own.

use axum::Json;
use axum::extract::rejection::{FormRejection, JsonRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

pub(crate) enum Refusal {
    Unauthenticated,
    NotFound,
    /// The request is none; with what is wrong.
    Invalid(String),
    UnsupportedMediaType,
    /// The bank's answer, which stays the same for this payment.
    Declined,
    /// Nothing was booked: the key is released, and the client may try again.
    BankIsDown,
}

impl Refusal {
    fn told(self) -> (StatusCode, &'static str, String) {
        match self {
            Self::Unauthenticated => {
                let detail = "Send Authorization: Bearer sk_test_NAME.";
                (StatusCode::UNAUTHORIZED, "Unauthenticated", detail.to_owned())
            }
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "Not found", "You have no such payment.".to_owned())
            }
            Self::Invalid(detail) => (StatusCode::BAD_REQUEST, "Invalid request", detail),
            Self::UnsupportedMediaType => {
                let detail = "The body has another Content-Type than this operation reads.";
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "Unsupported media type", detail.to_owned())
            }
            Self::Declined => {
                let detail = "The card was declined. A new attempt needs a new key.";
                (StatusCode::PAYMENT_REQUIRED, "Declined", detail.to_owned())
            }
            Self::BankIsDown => {
                let detail = "The bank does not answer. Send it again with the same key.";
                (StatusCode::BAD_GATEWAY, "Bank is down", detail.to_owned())
            }
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, title, detail) = self.told();
        let document = json!({ "title": title, "status": status.as_u16(), "detail": detail });
        let mut response = (status, Json(document)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

fn invalid(status: StatusCode, detail: String) -> Refusal {
    match status {
        StatusCode::UNSUPPORTED_MEDIA_TYPE => Refusal::UnsupportedMediaType,
        _ => Refusal::Invalid(detail),
    }
}

impl From<JsonRejection> for Refusal {
    fn from(rejection: JsonRejection) -> Self {
        invalid(rejection.status(), rejection.body_text())
    }
}

impl From<FormRejection> for Refusal {
    fn from(rejection: FormRejection) -> Self {
        invalid(rejection.status(), rejection.body_text())
    }
}
