//! Webhooks of Stripe and GitHub: every delivery is verified, handled once, and acknowledged.

use std::time::UNIX_EPOCH;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header::RETRY_AFTER;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use hmac::{Hmac, KeyInit, Mac};
use idempotency::{Disposition, Idempotency, idempotent};
use serde_json::Value;
use sha2::Sha256;

use crate::world::World;

#[derive(Clone)]
pub(crate) struct App {
    pub(crate) idem: Idempotency,
    pub(crate) world: World,
    pub(crate) secret: String,
}

#[derive(Debug, thiserror::Error)]
enum HookError {
    #[error("the ledger does not answer")]
    Unavailable(#[from] std::io::Error), // retryable: the next delivery runs again
    #[error("unknown kind of event")]
    Unknown, // permanent: stored, and every redelivery gets it
    #[error(transparent)]
    Idempotency(#[from] idempotency::Error),
}

impl HookError {
    fn disposition(&self) -> Disposition {
        match self {
            Self::Unavailable(_) => Disposition::Redeliver { after: None },
            Self::Unknown => Disposition::DeadLetter,
            Self::Idempotency(error) => error.disposition(),
        }
    }

    fn is_retryable(&self) -> bool {
        matches!(self.disposition(), Disposition::Redeliver { .. })
    }
}

/// The sender's id names the delivery. Other fields may differ in a redelivery: Stripe counts
/// `pending_webhooks` down, and may render objects in another version of its API. So only the id is
/// compared: `skip(event)`.
#[idempotent(
    name = "webhook",
    key = "webhook:{sender}:{id}",
    ttl = "30d",            // longer than the sender retries
    retry_if = HookError::is_retryable,
    on_cancel = "finish",   // senders hang up after a few seconds
    with = app.idem,
    skip(app, event),
)]
async fn handle(app: App, sender: &'static str, id: String, event: Value) -> Result<(), HookError> {
    match (sender, event["type"].as_str().or(event["action"].as_str())) {
        ("stripe", Some("invoice.paid")) | ("github", Some("opened")) => {
            // An error does not prove that nothing was booked. The next delivery may still run
            // again, because the ledger deduplicates by the id.
            Ok(app.world.do_once(&id, &format!("{sender} {id}"))?)
        }
        _ => Err(HookError::Unknown),
    }
}

/// A 2xx acknowledges the delivery; any other status asks for a redelivery.
fn answer(handled: Result<(), HookError>) -> Response {
    let Err(error) = handled else { return StatusCode::OK.into_response() };
    match error.disposition() {
        Disposition::Acknowledge => StatusCode::OK.into_response(),
        Disposition::DeadLetter => {
            eprintln!("dead letter: {error}"); // a table or a queue for operators
            StatusCode::OK.into_response() // or the sender retries for days
        }
        Disposition::Redeliver { after } => {
            let seconds = after.map_or(1, |after| after.as_secs() + 1);
            (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, seconds.to_string())]).into_response()
        }
        _ => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

/// `Stripe-Signature: t=1700000000,v1=…`: the MAC is over the time, a dot and the body. During a
/// rotation of the secret there are several MACs. Old signatures are refused: keys are kept for 30
/// days, and a recorded delivery could be replayed later.
pub(crate) async fn stripe(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let signature = header(&headers, "stripe-signature");
    let parts =
        |name: &'static str| signature.split(',').filter_map(move |part| part.strip_prefix(name));
    let time = parts("t=").next().unwrap_or_default();
    if !parts("v1=").any(|mac| is_signed(&app.secret, &[time.as_bytes(), b".", &body], mac)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let now = UNIX_EPOCH.elapsed().unwrap_or_default().as_secs();
    if time.parse().is_ok_and(|time: u64| now.abs_diff(time) > 300) {
        return StatusCode::BAD_REQUEST.into_response();
    }
    let Ok(event) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let Some(id) = event["id"].as_str().map(str::to_owned) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    answer(handle(app, "stripe", id, event).await)
}

/// `X-GitHub-Delivery` stays the same in a redelivery.
pub(crate) async fn github(State(app): State<App>, headers: HeaderMap, body: Bytes) -> Response {
    let signature = header(&headers, "x-hub-signature-256");
    if !is_signed(&app.secret, &[&body], signature.strip_prefix("sha256=").unwrap_or_default()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let id = header(&headers, "x-github-delivery").to_owned();
    match serde_json::from_slice(&body) {
        Ok(event) if !id.is_empty() => answer(handle(app, "github", id, event).await),
        _ => StatusCode::BAD_REQUEST.into_response(),
    }
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> &'h str {
    headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Compares in constant time.
fn is_signed(secret: &str, message: &[&[u8]], hex: &str) -> bool {
    let Ok(mac) = Hmac::<Sha256>::new_from_slice(secret.as_bytes()) else { return false };
    let mac = message.iter().fold(mac, Mac::chain_update);
    let digits = hex.as_bytes().chunks(2).map(|pair| {
        let pair = std::str::from_utf8(pair).ok()?;
        u8::from_str_radix(pair, 16).ok()
    });
    let signature: Option<Vec<u8>> = digits.collect();
    signature.is_some_and(|signature| mac.verify_slice(&signature).is_ok())
}
