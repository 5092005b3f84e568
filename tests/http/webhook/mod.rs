//! The webhook of `docs/consumers.md`, as it stands there, under deliveries that a sender repeats.

mod layered;

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::RETRY_AFTER;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use idempotency::{Disposition, Idempotency, idempotent};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::service::serve;
use crate::stage::{PATIENCE, Stage};
use crate::wire::{begin, exchange};

include!("recipe.rs");

on_every_storage! {
    a_delivery_whose_ledger_fails_once_is_booked_once,
    a_delivery_that_nobody_can_book_is_dead_lettered_and_acknowledged,
    a_sender_that_hangs_up_gets_the_outcome_in_the_next_delivery,
}

#[derive(Clone, Serialize, Deserialize)]
struct PaymentEvent {
    id: String,
    account: String,
}

#[derive(Clone)]
struct App {
    idem: Idempotency,
    books: Arc<Mutex<Books>>,
    /// Each booking that is slow takes one.
    gate: Arc<Semaphore>,
}

#[derive(Default)]
struct Books {
    begun: usize,
    failures: usize,
    booked: Vec<String>,
    aside: Vec<String>,
}

impl App {
    fn on(stage: &Stage) -> Self {
        let gate = Arc::new(Semaphore::new(0));
        Self { idem: stage.idem(), books: Arc::default(), gate }
    }

    async fn book(&self, event: &PaymentEvent) -> Result<(), HookError> {
        self.books.lock().begun += 1;
        if event.account == "slow" {
            self.gate.acquire().await.unwrap().forget();
        }
        let mut books = self.books.lock();
        if event.account == "unknown" {
            return Err(HookError::UnknownAccount);
        }
        if books.failures > 0 {
            books.failures -= 1;
            return Err(HookError::Unavailable);
        }
        books.booked.push(event.id.clone());
        Ok(())
    }

    fn dead_letter(&self, event: &PaymentEvent, _error: &HookError) {
        self.books.lock().aside.push(event.id.clone());
    }

    async fn serve(&self) -> std::net::SocketAddr {
        serve(Router::new().route("/hook", post(webhook)).with_state(self.clone())).await
    }
}

fn delivery(id: &str, account: &str) -> String {
    let body = format!(r#"{{"id":"{id}","account":"{account}"}}"#);
    format!(
        "POST /hook HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

fn is(reply: &str, status: u16) -> bool {
    reply.starts_with(&format!("HTTP/1.1 {status} "))
}

#[test]
fn the_documentation_shows_this_webhook() {
    let shown = include_str!("../../../docs/consumers.md");
    assert!(shown.contains(include_str!("recipe.rs")), "docs/consumers.md shows another webhook");
}

async fn a_delivery_whose_ledger_fails_once_is_booked_once(stage: Stage) {
    let app = App::on(&stage);
    app.books.lock().failures = 1;
    let addr = app.serve().await;
    let delivered = async || exchange(addr, delivery("e1", "7")).await;
    assert!(is(&delivered().await, 503));
    for _ in 0..3 {
        assert!(is(&delivered().await, 200));
    }
    let books = app.books.lock();
    assert_eq!((books.begun, books.booked.clone()), (2, vec!["e1".to_owned()]));
}

async fn a_delivery_that_nobody_can_book_is_dead_lettered_and_acknowledged(stage: Stage) {
    let app = App::on(&stage);
    let addr = app.serve().await;
    assert!(is(&exchange(addr, delivery("e1", "unknown")).await, 200));
    assert!(is(&exchange(addr, delivery("e1", "unknown")).await, 200));
    assert!(is(&exchange(addr, delivery("e2", "7")).await, 200));
    // The same id with another content is another mistake.
    assert!(is(&exchange(addr, delivery("e2", "8")).await, 200));
    let books = app.books.lock();
    assert_eq!((books.begun, books.booked.clone()), (2, vec!["e2".to_owned()]));
    assert_eq!(books.aside, ["e1", "e1", "e2"]);
}

async fn a_sender_that_hangs_up_gets_the_outcome_in_the_next_delivery(stage: Stage) {
    let app = App::on(&stage);
    let addr = app.serve().await;
    let sender: TcpStream = begin(addr, &delivery("e1", "slow")).await;
    let begun = || app.books.lock().begun == 1;
    testkit::wait::until_async("the booking has begun", PATIENCE, begun).await;
    drop(sender);
    tokio::time::sleep(Duration::from_millis(20)).await;
    let busy = exchange(addr, delivery("e1", "slow")).await;
    assert!(is(&busy, 503) && busy.contains("retry-after: "), "{busy}");
    app.gate.add_permits(1);
    timeout(PATIENCE, app.idem.drain()).await.expect("it comes to its end");
    assert!(is(&exchange(addr, delivery("e1", "slow")).await, 200));
    let books = app.books.lock();
    assert_eq!((books.begun, books.booked.len()), (1, 1));
}
