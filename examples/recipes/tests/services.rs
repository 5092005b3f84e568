//! Recipes that are services.

use std::io::Read;
use std::time::UNIX_EPOCH;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::programs::Place;
use crate::service::Service;

fn signature(message: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(b"secret").unwrap().chain_update(message);
    let (high, low) = {
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let half = |at: usize| u128::from_be_bytes(*bytes[at..].first_chunk().unwrap());
        (half(0), half(16))
    };
    format!("{high:032x}{low:032x}")
}

fn now() -> u64 {
    UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// While a secret is being changed, there is a signature with the old one, too.
fn signed_by_stripe(time: u64, event: &str) -> String {
    let mac = signature(&format!("{time}.{event}"));
    format!("stripe-signature: t={time},v1={},v1={mac},v0=00\r\n", "0".repeat(64))
}

fn from_stripe(service: &Service, event: &str) -> u16 {
    service.post("/stripe", &signed_by_stripe(now(), event), event).0
}

fn from_github(service: &Service, delivery: &str, event: &str) -> u16 {
    let mac = signature(event);
    let headers = format!("x-github-delivery: {delivery}\r\nx-hub-signature-256: sha256={mac}\r\n");
    service.post("/github", &headers, event).0
}

#[test]
fn a_delivery_is_handled_once_whatever_else_in_it_changes() {
    let place = Place::new();
    let service = Service::start(&place, "webhooks");
    for left in [2, 1, 0] {
        let event = format!(r#"{{"id":"evt_1","type":"invoice.paid","pending_webhooks":{left}}}"#);
        assert_eq!(from_stripe(&service, &event), 200);
        assert_eq!(from_github(&service, "d-1", r#"{"action":"opened"}"#), 200);
    }
    assert_eq!(from_github(&service, "d-2", r#"{"action":"opened"}"#), 200);
    assert_eq!(place.effects(), ["github d-1 [d-1]", "github d-2 [d-2]", "stripe evt_1 [evt_1]"]);
}

#[test]
fn a_delivery_that_failed_comes_again_and_one_that_nobody_knows_does_not() {
    let place = Place::new();
    let service = Service::start(&place, "webhooks");
    let event = r#"{"id":"evt_1","type":"invoice.paid"}"#;
    place.break_world();
    assert_eq!(from_stripe(&service, event), 503);
    place.mend_world();
    assert_eq!(from_stripe(&service, event), 200);
    for _ in 0..2 {
        assert_eq!(from_stripe(&service, r#"{"id":"evt_2","type":"unheard.of"}"#), 200);
    }
    assert_eq!(place.effects(), ["stripe evt_1 [evt_1]"]);
}

#[test]
fn who_does_not_know_the_secret_is_refused() {
    let place = Place::new();
    let service = Service::start(&place, "webhooks");
    let event = r#"{"id":"evt_1","type":"invoice.paid"}"#;
    let time = now();
    let mac = signature(&format!("{time}.{event}"));
    let forged = [
        (time + 1, mac.clone()),
        (time, mac.replace(|c: char| c.is_ascii_digit(), "0")),
        (time, "zz".to_owned()),
        (time, String::new()),
    ];
    for (time, mac) in forged {
        let header = format!("stripe-signature: t={time},v1={mac}\r\n");
        assert_eq!(service.post("/stripe", &header, event).0, 401);
    }
    // One that somebody has recorded.
    assert_eq!(service.post("/stripe", &signed_by_stripe(time - 3_600, event), event).0, 400);
    assert_eq!(service.post("/github", "x-github-delivery: d-1\r\n", event).0, 401);
    assert_eq!(place.effects(), Vec::<String>::new());
}

#[test]
fn a_handler_charges_once_and_says_what_else_happened() {
    let place = Place::new();
    let service = Service::start(&place, "handler");
    let order = r#"{"id":1,"cents":1999}"#;
    // Two clicks.
    let mut first = service.begin("/pay", "", order);
    let (status, second) = service.post("/pay", "", order);
    let mut answer = String::new();
    first.read_to_string(&mut answer).unwrap();
    let body = |answer: &str| answer.split("\r\n\r\n").nth(1).unwrap().to_owned();
    assert_eq!((status, body(&answer)), (200, body(&second)));
    let (status, answer) = service.post("/pay", "", r#"{"id":1,"cents":2999}"#);
    assert!(status == 422 && answer.contains("application/problem+json"), "{answer}");
    for _ in 0..2 {
        assert_eq!(service.post("/pay", "", r#"{"id":2,"cents":200000}"#).0, 402);
    }
    assert_eq!(place.effects(), ["charged 1999 for 1 [pay-1]"]);
}

#[test]
fn a_bank_that_is_down_is_asked_again_by_the_next_request() {
    let place = Place::new();
    let service = Service::start(&place, "handler");
    place.break_world();
    assert_eq!(service.post("/pay", "", r#"{"id":3,"cents":1}"#).0, 502);
    place.mend_world();
    place.lose_an_answer();
    assert_eq!(service.post("/pay", "", r#"{"id":3,"cents":1}"#).0, 502);
    assert_eq!(service.post("/pay", "", r#"{"id":3,"cents":1}"#).0, 200);
    assert_eq!(place.effects(), ["charged 1 for 3 [pay-3]"]);
}

#[test]
fn a_service_that_is_stopped_brings_to_an_end_what_clients_have_left() {
    let place = Place::new();
    let mut service = Service::start(&place, "handler");
    let order = r#"{"id":1,"cents":1999}"#;
    let gone = service.begin("/pay", "", order);
    service.wait_for("charging");
    drop(gone);
    assert_eq!(service.stop(), "all calls have finished\n");
    assert_eq!(place.effects(), ["charged 1999 for 1 [pay-1]"]);
    let service = Service::start(&place, "handler");
    assert_eq!(service.post("/pay", "", order).0, 200);
    assert_eq!(place.effects(), ["charged 1999 for 1 [pay-1]"]);
}
