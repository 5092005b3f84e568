//! The webhooks of `docs/http-fingerprints.md`, as they stand there, under deliveries that a sender repeats with fields that change.

use std::sync::Arc;
use std::time::Duration;

use axum::body::to_bytes;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::post;
use axum::{Json, Router};
use idempotency::Idempotency;
use idempotency::http::{BodyFingerprint, IdempotencyLayer, Principal};
use parking_lot::Mutex;
use serde::Deserialize;

use crate::client::{Client, Reply};
use crate::service::serve;
use crate::stage::Stage;

include!("layered_recipe.rs");

on_every_storage! {
    an_event_that_is_delivered_again_takes_effect_once,
}

#[derive(Deserialize)]
struct StripeEvent {
    id: String,
}

#[derive(Clone)]
struct App {
    idem: Idempotency,
    booked: Arc<Mutex<Vec<String>>>,
    /// Stands for the secret of the signatures.
    signature: &'static str,
}

impl App {
    fn is_signed_by_stripe(&self, headers: &HeaderMap, _: &[u8]) -> bool {
        let signed = headers.get("stripe-signature").and_then(|value| value.to_str().ok());
        signed.is_some_and(|signed| signed.ends_with(self.signature))
    }
}

async fn on_event(State(app): State<App>, Json(event): Json<StripeEvent>) -> StatusCode {
    let mut booked = app.booked.lock();
    booked.push(event.id.clone());
    // The first attempt at this one fails.
    if event.id == "evt_fails" && booked.iter().filter(|id| **id == event.id).count() == 1 {
        return StatusCode::SERVICE_UNAVAILABLE;
    }
    StatusCode::OK
}

#[test]
fn the_documentation_shows_this_webhook() {
    let shown = include_str!("../../../docs/http-fingerprints.md");
    assert!(shown.contains(include_str!("layered_recipe.rs")), "it shows another webhook");
}

/// As Stripe sends it: with a count of the addresses that have not got it yet, and signed anew.
async fn delivered(client: &Client, id: &str, amount: u32, pending: u32) -> Reply {
    let body = format!(
        r#"{{"id":"{id}","object":"event","data":{{"object":{{"amount":{amount}}}}},"pending_webhooks":{pending}}}"#
    );
    let request = client.request(Method::POST, "/hooks/stripe");
    let request = request
        .header("content-type", "application/json; charset=utf-8")
        .header("stripe-signature", format!("t={pending},v1=c0ffee"));
    client.send(request, body).await
}

async fn an_event_that_is_delivered_again_takes_effect_once(stage: Stage) {
    let app = App { idem: stage.idem(), booked: Arc::default(), signature: "v1=c0ffee" };
    let client = Client::new(serve(hooks(app.clone())).await);
    assert_eq!(delivered(&client, "evt_1", 5, 2).await.status, 200);
    let again = delivered(&client, "evt_1", 5, 1).await;
    assert!(again.status == 200 && again.is_replayed(), "{again:?}");
    assert_eq!(delivered(&client, "evt_fails", 5, 2).await.status, 503);
    assert_eq!(delivered(&client, "evt_fails", 5, 1).await.status, 200);
    // The same id with another content is a mistake that somebody has to see.
    delivered(&client, "evt_1", 6, 1).await.assert_problem(422, "key-reused");
    let unsigned = client.request(Method::POST, "/hooks/stripe");
    assert_eq!(client.send(unsigned, r#"{"id":"evt_2"}"#).await.status, 403);
    assert_eq!(*app.booked.lock(), ["evt_1", "evt_fails", "evt_fails"]);
}
