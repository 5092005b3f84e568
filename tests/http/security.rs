//! What nobody can do to anybody else with keys.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::post;
use futures_util::stream::{self, StreamExt};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use idempotency::http::{IdempotencyLayer, anonymous, extension};
use idempotency::key::RecordKey;
use idempotency::record::{Finish, Finished, State, Status};
use idempotency::storage::{MemoryStorage, SharedStorage, Storage};
use idempotency::{Idempotency, Key};
use parking_lot::Mutex;
use tower_service::Service;

use crate::client::{Client, Reply};
use crate::service::{Counting, Gate, client_of, counting, joined, serve};
use crate::stage::{Count, Stage};
use crate::wire::exchange;

on_every_storage! {
    principals_neither_see_nor_block_each_others_keys,
    a_replay_is_authorised_again,
    what_is_secret_is_never_stored,
    what_is_no_key_claims_nothing_and_kills_nothing,
    problems_tell_nothing_of_anothers_request,
}

/// The name of who sends a request, which the test's authentication believes.
const USER: &str = "x-user";

/// Who is let in.
type Users = Arc<Mutex<Vec<&'static str>>>;

/// `router` behind an authentication that the layer is inside of.
fn authenticated(users: &Users, router: Router) -> Router {
    let users = Arc::clone(users);
    router.layer(from_fn(move |mut request: Request, next: Next| {
        let users = Arc::clone(&users);
        async move {
            let name = request.headers().get(USER).and_then(|name| name.to_str().ok());
            let name = name.map(ToOwned::to_owned).unwrap_or_default();
            if !users.lock().contains(&&*name) {
                return StatusCode::UNAUTHORIZED.into_response();
            }
            request.extensions_mut().insert(name);
            next.run(request).await
        }
    }))
}

fn users(names: &[&'static str]) -> Users {
    Arc::new(Mutex::new(names.to_vec()))
}

async fn post_as(client: &Client, user: &str, key: &str, body: &str) -> Reply {
    let request = client.request(Method::POST, "/a").header("idempotency-key", key);
    client.send(request.header(USER, user), body.to_owned()).await
}

async fn principals_neither_see_nor_block_each_others_keys(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), extension::<String>());
    let router = Router::new().route("/a", gate.handler()).layer(layer);
    let client = Client::new(serve(authenticated(&users(&["ann", "bob"]), router)).await);
    let posts = ["ann", "bob"].map(|user| {
        let client = client.clone();
        tokio::spawn(async move { post_as(&client, user, "k", user).await })
    });
    gate.until_begun(2).await;
    gate.open();
    gate.open();
    let mut texts = Vec::new();
    for post in posts {
        let reply = joined(post).await;
        assert!(!reply.is_replayed());
        texts.push(reply.text().to_owned());
    }
    texts.sort();
    assert_eq!(texts, ["run 1", "run 2"]);
    let again = post_as(&client, "ann", "k", "ann").await;
    assert!(again.is_replayed());
    assert_ne!(again.text(), post_as(&client, "bob", "k", "bob").await.text());
}

async fn a_replay_is_authorised_again(stage: Stage) {
    let runs = Count::default();
    let layer = IdempotencyLayer::new(stage.idem(), extension::<String>());
    let users = users(&["ann"]);
    let router = Router::new().route("/a", counting(&runs)).layer(layer);
    let client = Client::new(serve(authenticated(&users, router)).await);
    post_as(&client, "ann", "k", "x").await;
    assert!(post_as(&client, "ann", "k", "x").await.is_replayed());
    users.lock().clear();
    let locked_out = post_as(&client, "ann", "k", "x").await;
    assert_eq!(locked_out.status, 401);
    assert!(locked_out.body.is_empty() && !locked_out.is_replayed());
    users.lock().push("ann");
    assert!(post_as(&client, "ann", "k", "x").await.is_replayed());
}

const NEVER: [&str; 10] = [
    "set-cookie",
    "authorization",
    "www-authenticate",
    "proxy-authenticate",
    "authentication-info",
    "date",
    "connection",
    "keep-alive",
    "x-of-this-connection",
    "x-unlisted",
];

async fn what_is_secret_is_never_stored(stage: Stage) {
    let answers = post(async || {
        let mut response = "public".into_response();
        for name in NEVER {
            let value = match name {
                "connection" => "x-of-this-connection, keep-alive",
                "date" => "Thu, 01 Jan 1970 00:00:00 GMT",
                _ => "secret",
            };
            let name = HeaderName::from_static(name);
            response.headers_mut().append(name, HeaderValue::from_static(value));
        }
        response
    });
    let mut layer = IdempotencyLayer::new(stage.idem(), anonymous());
    // What may never be stored is not stored on demand either.
    for name in NEVER.into_iter().filter(|&name| name != "x-unlisted") {
        layer = layer.replay_header(HeaderName::from_static(name));
    }
    let client = client_of(answers, layer).await;
    let first = client.post("/a", "k", "x").await;
    assert_eq!(first.header("set-cookie"), Some("secret"), "its own client gets it");
    let again = client.post("/a", "k", "x").await;
    assert!(again.is_replayed());
    assert_eq!(again.text(), "public");
    for name in NEVER.into_iter().filter(|&name| name != "date") {
        assert_eq!(again.header(name), None, "{name}");
    }
    assert_ne!(again.header("date"), Some("Thu, 01 Jan 1970 00:00:00 GMT"));
    let stored = stored(&stage, "k").await;
    let holds = |text: &str| stored.windows(text.len()).any(|part| part == text.as_bytes());
    assert!(holds("public"));
    assert!(!holds("secret") && !holds("1970"));
}

/// The response that the stage's storage holds for a key of nobody in particular, as bytes.
async fn stored(stage: &Stage, key: &str) -> Vec<u8> {
    let key = Key::http(key).unwrap();
    let name = RecordKey::new(stage.namespace(), None, &key).unwrap();
    match stage.storage().load(&name).await.unwrap().unwrap().state {
        State::Finished(Finished { finish: Finish::Completed(payload), .. }) => {
            payload.bytes.to_vec()
        }
        other => panic!("{other:?}"),
    }
}

async fn what_is_no_key_claims_nothing_and_kills_nothing(stage: Stage) {
    let service = Counting::on(&stage).await;
    let post = |key: &[u8]| {
        let mut request = b"POST /a HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".to_vec();
        request.extend_from_slice(b"content-length: 1\r\nidempotency-key: ");
        request.extend_from_slice(key);
        request.extend_from_slice(b"\r\n\r\nx");
        request
    };
    let huge = vec![b'k'; 10 * 1024 * 1024];
    let refused: [&[u8]; 12] = [
        b"a\0b",
        b"a\rb",
        b"\"a\0b\"",
        b"a,b",
        b"\"a\", \"b\"",
        b"\"a\"\r\nidempotency-key: \"a\"",
        b"a\r\n b",
        b"\x7f",
        b"\"\xff\"",
        b"",
        b"../../etc/passwd\\",
        &huge,
    ];
    for key in refused {
        let shown = key[..key.len().min(40)].escape_ascii();
        let reply = exchange(service.addr, post(key)).await;
        // What is no HTTP the server refuses, before there is a request; of what is too large it may read too little to say so.
        let is_refused = reply.starts_with("HTTP/1.1 400 ") || reply.starts_with("HTTP/1.1 431 ");
        assert!(is_refused || key.len() > 1024 && reply.is_empty(), "{shown}: {reply}");
    }
    assert_eq!(service.runs(), 0);
    // A header that is smuggled in is one of the request, and never of the key.
    let reply = exchange(service.addr, post(b"k\r\nx-other: y")).await;
    assert!(reply.contains("run 1 of x"), "{reply}");
    assert!(service.client.post("/a", "k", "x").await.is_replayed());
}

async fn problems_tell_nothing_of_anothers_request(stage: Stage) {
    let gate = Gate::default();
    let layer = IdempotencyLayer::new(stage.idem(), anonymous()).wait(Duration::ZERO);
    let client = client_of(gate.handler(), layer).await;
    let first = client.post_meanwhile("/a", "the-key", "confidential");
    gate.until_begun(1).await;
    let mismatch = client.post("/a", "the-key", "guess").await;
    mismatch.assert_problem(422, "key-reused");
    let busy = client.post("/a", "the-key", "confidential").await;
    busy.assert_problem(409, "in-progress");
    gate.open();
    joined(first).await;
    let after = client.post("/a", "the-key", "guess").await;
    assert_eq!(after.body, mismatch.body, "whether it has ended is not told");
    for problem in [mismatch, busy, after] {
        for secret in ["confidential", "the-key", "guess", "run 1", stage.namespace()] {
            assert!(!problem.text().contains(secret), "{secret}");
            let in_head = |value: &HeaderValue| value.as_bytes() == secret.as_bytes();
            assert!(!problem.headers.values().any(in_head), "{secret}");
        }
    }
}

/// Without sockets, which would be what takes the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quota_bounds_what_one_principal_stores() {
    let storage = SharedStorage::new(MemoryStorage::new());
    let idem = Idempotency::builder(storage.clone()).namespace("n").build().unwrap();
    let hour = Duration::from_secs(3600);
    let layer = IdempotencyLayer::new(idem, extension::<String>()).quota(50, hour);
    let runs = Count::default();
    let router: Router = Router::new().route("/a", counting(&runs)).layer(layer);
    let send = |user: &'static str, key: usize| {
        let mut router = router.clone();
        let request = Request::post("/a").header("idempotency-key", format!("k{key}"));
        let request = request.extension(user.to_owned()).body(Body::empty()).unwrap();
        async move { router.call(request).await.unwrap().status() }
    };
    let statuses = stream::iter(0..100_000).map(|key| send("ann", key)).buffer_unordered(64);
    let refused = statuses.filter(|status| {
        let refused = *status == StatusCode::TOO_MANY_REQUESTS;
        async move { refused }
    });
    assert_eq!(refused.count().await, 100_000 - 50);
    assert_eq!(runs.load(Ordering::SeqCst), 50);
    let records = storage.scan(None, 1000).await.unwrap().records;
    let stored = records.iter().filter(|(_, record)| {
        record.as_ref().is_ok_and(|record| record.status() == Status::Completed)
    });
    assert_eq!(stored.count(), 50);
    // Those that had been claimed when the last of the 50 were handled were given back, and no more than them.
    assert!(records.len() <= 50 + 64, "{}", records.len());
    assert_eq!(send("bob", 0).await, StatusCode::OK);
}
