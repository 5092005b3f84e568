//! What handlers can ask for, and what they may do.

use std::sync::atomic::Ordering;

use axum::Router;
use axum::extract::{FromRef, State};
use axum::response::IntoResponse;
use axum::routing::post;
use http::Method;
use idempotency::http::{IdempotencyKey, IdempotencyLayer, IdempotentRun, Problem, anonymous};
use idempotency::storage::MemoryStorage;
use idempotency::{Error, Idempotency, idempotent};

use crate::client::Client;
use crate::service::{client_of, counting, serve};
use crate::stage::{Count, Stage};

#[tokio::test]
async fn the_key_is_the_clients_without_its_quotes() {
    let tells = post(async |key: IdempotencyKey| key.as_str().to_owned());
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let client = client_of(tells, layer).await;
    assert_eq!(client.post("/a", r#""k \"1\"""#, "x").await.text(), r#"k "1""#);
}

#[tokio::test]
async fn a_handler_knows_which_run_it_is() {
    let stage = Stage::on_memory();
    let tells = post(async |run: IdempotentRun| {
        let busy = run.attempt() < 2;
        let told = format!("{} {}", run.operation(), run.tenant().unwrap_or("nobody"));
        (if busy { http::StatusCode::SERVICE_UNAVAILABLE } else { http::StatusCode::OK }, told)
    });
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let client = Client::new(serve(Router::new().route("/a/{id}", tells).layer(layer)).await);
    // The 503 releases the key, and the run after it knows that it is the second.
    for status in [503, 200] {
        let reply = client.post("/a/17", "k", "x").await;
        assert_eq!((reply.status.as_u16(), reply.text()), (status, "POST /a/{id} nobody"));
    }
}

#[tokio::test]
async fn handlers_that_need_a_key_refuse_requests_without_one() {
    let key = post(async |_: IdempotencyKey| "with a key");
    let run = post(async |_: IdempotentRun| "in a run");
    let optional = post(async |key: Option<IdempotencyKey>, run: Option<IdempotentRun>| {
        format!("{} {}", key.is_some(), run.is_some())
    });
    let router = Router::new().route("/key", key).route("/run", run).route("/optional", optional);
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous()).optional();
    let client = Client::new(serve(router.layer(layer)).await);
    let without = async |path| client.send(client.request(Method::POST, path), "x").await;
    without("/key").await.assert_problem(400, "key-missing");
    without("/run").await.assert_problem(400, "key-missing");
    assert_eq!(without("/optional").await.text(), "false false");
    for (path, text) in [("/key", "with a key"), ("/run", "in a run"), ("/optional", "true true")] {
        assert_eq!(client.post(path, path, "x").await.text(), text);
    }
}

#[derive(Clone)]
struct App {
    idem: Idempotency,
    runs: Count,
}

impl FromRef<App> for Idempotency {
    fn from_ref(app: &App) -> Self {
        app.idem.clone()
    }
}

#[idempotent(key = "charge:{order}", with = idem, skip(idem, runs))]
async fn charge(idem: Idempotency, runs: &Count, order: String) -> Result<usize, Error> {
    Ok(runs.fetch_add(1, Ordering::SeqCst) + 1)
}

#[tokio::test]
async fn a_handler_may_call_idempotent_functions() {
    let app = App { idem: Stage::on_memory().idem(), runs: Count::default() };
    let layer = IdempotencyLayer::new(app.idem.clone(), anonymous());
    let pay =
        post(async |State(app): State<App>, State(idem): State<Idempotency>, order: String| {
            let charged = charge(idem, &app.runs, order).await.map_err(Problem::from)?;
            Ok::<_, Problem>(format!("charge {charged}"))
        });
    let router = Router::new().route("/pay", pay).layer(layer).with_state(app.clone());
    let client = Client::new(serve(router).await);
    for (key, order, charged) in [("k1", "a", 1), ("k2", "a", 1), ("k1", "a", 1), ("k3", "b", 2)] {
        let reply = client.post("/pay", key, order).await;
        assert_eq!(reply.text(), format!("charge {charged}"), "{key}");
    }
    assert_eq!(app.runs.load(Ordering::SeqCst), 2);
}

/// A nested router's service sees only the rest of the path, which may be the same under two fronts.
#[tokio::test]
async fn the_path_is_the_one_that_the_client_asked_for() {
    let idem = Stage::on_memory().idem();
    let runs = Count::default();
    let nested = || {
        let layer = IdempotencyLayer::new(idem.clone(), anonymous());
        Router::new().route("/pay", counting(&runs)).layer(layer)
    };
    let client = Client::new(serve(Router::new().nest("/a", nested()).nest("/b", nested())).await);
    assert_eq!(client.post("/a/pay", "k", "x").await.text(), "run 1 of x");
    client.post("/b/pay", "k", "x").await.assert_problem(422, "key-reused");
    assert!(client.post("/a/pay", "k", "x").await.is_replayed());
}

/// As a layer of the whole router it is in front of what there is not, too.
#[tokio::test]
async fn a_layer_of_the_routes_leaves_what_has_no_route_alone() {
    let runs = Count::default();
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let router = || Router::new().route("/a", counting(&runs));
    let of_routes = Client::new(serve(router().route_layer(layer.clone())).await);
    let of_all = Client::new(serve(router().layer(layer)).await);
    let lost = async |client: &Client| {
        client.send(client.request(Method::POST, "/nowhere"), "x").await.status.as_u16()
    };
    assert_eq!((lost(&of_routes).await, lost(&of_all).await), (404, 400));
    assert_eq!(of_routes.post("/a", "k", "x").await.text(), "run 1 of x");
    assert!(of_all.post("/a", "k", "x").await.is_replayed());
}

#[tokio::test]
async fn rejections_of_extractors_are_responses_like_others() {
    let runs = Count::default();
    let counted = Count::clone(&runs);
    let reads = post(
        async move |body: Result<axum::Json<u64>, axum::extract::rejection::JsonRejection>| {
            counted.fetch_add(1, Ordering::SeqCst);
            body.map(|axum::Json(number)| number.to_string()).into_response()
        },
    );
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let client = client_of(reads, layer).await;
    for replayed in [false, true] {
        let request = client.request(Method::POST, "/a").header("idempotency-key", "k");
        let reply = client.send(request.header("content-type", "application/json"), "}").await;
        assert_eq!((reply.status.as_u16(), reply.is_replayed()), (400, replayed));
    }
    assert_eq!(runs.load(Ordering::SeqCst), 1);
}

/// Not the handler, but what the application has hooked into the engine.
#[tokio::test]
async fn a_hook_that_panics_costs_its_request_a_500_and_nobody_the_connection() {
    let idem = Idempotency::builder(MemoryStorage::new()).on_replay(|_| panic!("a hook"));
    let runs = Count::default();
    let layer = IdempotencyLayer::new(idem.build().unwrap(), anonymous());
    let tasks = layer.tasks();
    let client = client_of(counting(&runs), layer).await;
    assert_eq!(client.post("/a", "k", "x").await.text(), "run 1 of x");
    client.post("/a", "k", "x").await.assert_problem(500, "handler-failed");
    assert_eq!((runs.load(Ordering::SeqCst), tasks.len()), (1, 0));
}
