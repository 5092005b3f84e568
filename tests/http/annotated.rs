//! Annotated functions under handlers, and clients that hang up.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use idempotency::hooks::AbandonReason;
use idempotency::{Idempotency, idempotent};
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use crate::client::Client;
use crate::service::serve;
use crate::stage::{PATIENCE, Stage};
use crate::wire::begin;

on_every_storage! {
    with_finish_the_effect_happens_once_and_a_retry_gets_its_result,
    without_it_the_effect_is_repeated_and_the_hook_is_told,
    shut_down_waits_for_bodies_without_a_client,
}

/// A shop whose gateway takes its time: half of an effect is before the gate, half of it behind.
#[derive(Clone)]
struct Shop {
    idem: Idempotency,
    effects: Arc<Mutex<Vec<&'static str>>>,
    gate: Arc<Semaphore>,
    told: Arc<Mutex<Vec<(String, AbandonReason)>>>,
}

#[idempotent(key = "finishes:{order}", with = shop.idem, on_cancel = "finish", skip(shop))]
async fn finishes(shop: Shop, order: u64) -> Result<String, idempotency::Error> {
    shop.charge(order).await
}

#[idempotent(key = "ends-with-its-client:{order}", with = shop.idem, skip(shop))]
async fn ends_with_its_client(shop: Shop, order: u64) -> Result<String, idempotency::Error> {
    shop.charge(order).await
}

impl Shop {
    fn on(stage: &Stage) -> Self {
        let told = Arc::<Mutex<Vec<_>>>::default();
        let hook = {
            let told = Arc::clone(&told);
            move |call: &idempotency::hooks::Abandoned<'_>| {
                told.lock().push((call.operation.to_owned(), call.reason));
            }
        };
        let builder = Idempotency::builder(stage.storage().clone()).namespace(stage.namespace());
        let idem = builder.on_abandoned(hook).build().unwrap();
        let gate = Arc::new(Semaphore::new(0));
        Self { idem, effects: Arc::default(), gate, told }
    }

    async fn charge(&self, order: u64) -> Result<String, idempotency::Error> {
        self.effects.lock().push("begun");
        self.gate.acquire().await.unwrap().forget();
        self.effects.lock().push("ended");
        Ok(format!("receipt {order}"))
    }

    fn router(self) -> Router {
        type Answer = Result<String, (StatusCode, String)>;
        let answer = |result: Result<String, idempotency::Error>| -> Answer {
            result.map_err(|error| (StatusCode::CONFLICT, error.to_string()))
        };
        let finishing = async move |State(shop): State<Self>, Path(order): Path<u64>| {
            answer(finishes(shop, order).await)
        };
        let ending = async move |State(shop): State<Self>, Path(order): Path<u64>| {
            answer(ends_with_its_client(shop, order).await)
        };
        Router::new()
            .route("/finishing/{order}", post(finishing))
            .route("/ending/{order}", post(ending))
            .with_state(self)
    }

    async fn until_effects(&self, count: usize) {
        let happened = || self.effects.lock().len() >= count;
        testkit::wait::until_async("the effect has begun", PATIENCE, happened).await;
    }
}

fn request(path: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n")
}

async fn with_finish_the_effect_happens_once_and_a_retry_gets_its_result(stage: Stage) {
    let shop = Shop::on(&stage);
    let addr = serve(shop.clone().router()).await;
    let client = begin(addr, &request("/finishing/7")).await;
    shop.until_effects(1).await;
    drop(client);
    // The server has noticed: a duplicate is refused, not run.
    let again = Client::new(addr).post("/finishing/7", "", "").await;
    assert!(again.text().contains("another call with this key is running"), "{}", again.text());
    shop.gate.add_permits(1);
    timeout(PATIENCE, shop.idem.drain()).await.expect("it comes to its end");
    let again = Client::new(addr).post("/finishing/7", "", "").await;
    assert_eq!(again.text(), "receipt 7");
    assert_eq!(*shop.effects.lock(), ["begun", "ended"]);
    assert!(shop.told.lock().is_empty());
}

async fn without_it_the_effect_is_repeated_and_the_hook_is_told(stage: Stage) {
    let shop = Shop::on(&stage);
    let addr = serve(shop.clone().router()).await;
    let client = begin(addr, &request("/ending/7")).await;
    shop.until_effects(1).await;
    drop(client);
    timeout(PATIENCE, shop.idem.drain()).await.expect("its key is released");
    let told = [("ends_with_its_client".to_owned(), AbandonReason::Cancelled)];
    assert_eq!(*shop.told.lock(), told);
    shop.gate.add_permits(1);
    let again = Client::new(addr).post("/ending/7", "", "").await;
    assert_eq!(again.text(), "receipt 7");
    assert_eq!(*shop.effects.lock(), ["begun", "begun", "ended"]);
}

async fn shut_down_waits_for_bodies_without_a_client(stage: Stage) {
    let shop = Shop::on(&stage);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (halt, stopped) = oneshot::channel();
    let server = axum::serve(listener, shop.clone().router())
        .with_graceful_shutdown(async { stopped.await.unwrap_or_default() });
    let server = tokio::spawn(server.into_future());
    let client = begin(addr, &request("/finishing/7")).await;
    shop.until_effects(1).await;
    drop(client);
    halt.send(()).unwrap();
    timeout(PATIENCE, server).await.expect("the server stops").unwrap().unwrap();
    assert_eq!(shop.idem.drain_within(std::time::Duration::from_millis(20)).await, 1);
    shop.gate.add_permits(1);
    timeout(PATIENCE, shop.idem.drain()).await.expect("it comes to its end");
    let elsewhere = Shop::on(&stage);
    let addr = serve(elsewhere.clone().router()).await;
    assert_eq!(Client::new(addr).post("/finishing/7", "", "").await.text(), "receipt 7");
    assert!(elsewhere.effects.lock().is_empty());
}

/// How often each outcome was counted.
fn outcomes(of: &Snapshotter) -> Vec<(String, u64)> {
    let all = of.snapshot().into_vec().into_iter();
    let mut outcomes: Vec<_> = all
        .filter_map(|(key, _, _, value)| {
            let DebugValue::Counter(count) = value else { return None };
            let outcome = key.key().labels().find(|label| label.key() == "outcome")?;
            Some((outcome.value().to_owned(), count))
        })
        .collect();
    outcomes.sort();
    outcomes
}

/// On one thread, which is what the recorder is for.
#[tokio::test]
async fn clients_that_hang_up_are_counted_by_what_became_of_their_bodies() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    let _recording = metrics::set_default_local_recorder(&recorder);
    let shop = Shop::on(&Stage::on_memory());
    let addr = serve(shop.clone().router()).await;
    for path in ["/finishing/7", "/ending/7"] {
        let effects = shop.effects.lock().len();
        let client = begin(addr, &request(path)).await;
        shop.until_effects(effects + 1).await;
        drop(client);
        if path == "/finishing/7" {
            shop.gate.add_permits(1);
        }
        timeout(PATIENCE, shop.idem.drain()).await.expect("it has ended");
        tokio::task::yield_now().await;
    }
    let counted = [("cancelled".to_owned(), 1), ("executed".to_owned(), 1)];
    assert_eq!(outcomes(&snapshotter), counted);
}
