//! Bodies in both directions: whole, in pieces, with trailers, and too large.

use std::convert::Infallible;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use axum::response::IntoResponse;
use axum::routing::{any, post};
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt, Limited, StreamBody};
use idempotency::http::{IdempotencyLayer, OverLimit, anonymous};
use idempotency::record::CrashPolicy;

use crate::client::Client;
use crate::service::{Counting, client_of, counting, serve};
use crate::stage::{Count, Stage};
use crate::wire::exchange;

fn trailers(of: &[(&'static str, &'static str)]) -> HeaderMap {
    of.iter()
        .map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value)))
        .collect()
}

/// A body that comes in these pieces, with no length told before.
fn pieces(of: Vec<&'static str>, trailers: Option<HeaderMap>) -> Body {
    let data = of.into_iter().map(|piece| Frame::data(Bytes::from_static(piece.as_bytes())));
    let frames = data.chain(trailers.map(Frame::trailers)).map(Ok::<_, Infallible>);
    Body::new(StreamBody::new(stream::iter(frames.collect::<Vec<_>>())))
}

#[tokio::test]
async fn trailers_are_replayed_but_for_those_that_are_never_stored() {
    let sent = trailers(&[("x-checksum", "17"), ("set-cookie", "secret")]);
    let answers = post(async move || Response::new(pieces(vec!["a", "b"], Some(sent.clone()))));
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let addr = serve(Router::new().route("/a", answers).layer(layer)).await;
    let client = Client::speaking_http2(addr);
    let first = client.post("/a", "k", "x").await;
    assert_eq!(first.trailers.unwrap().len(), 2);
    let again = client.post("/a", "k", "x").await;
    assert!(again.is_replayed());
    assert_eq!(again.text(), "ab");
    assert_eq!(again.trailers.unwrap(), trailers(&[("x-checksum", "17")]));
}

/// There they come behind a body without a length, if they were announced and the client wants them.
#[tokio::test]
async fn trailers_are_replayed_over_http1_as_well() {
    let sent = trailers(&[("x-checksum", "17"), ("set-cookie", "secret")]);
    let answers = post(async move || {
        let mut response = Response::new(pieces(vec!["a", "b"], Some(sent.clone())));
        response.headers_mut().insert("trailer", HeaderValue::from_static("x-checksum"));
        response
    });
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let addr = serve(Router::new().route("/a", answers).layer(layer)).await;
    let request = "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\nconnection: close, te\r\n\
                   te: trailers\r\ncontent-length: 1\r\n\r\nx";
    for replayed in [false, true] {
        let reply = exchange(addr, request).await;
        assert_eq!(reply.contains("\r\nidempotent-replayed: true\r\n"), replayed, "{reply}");
        assert!(reply.contains("\r\ntransfer-encoding: chunked\r\n"), "{reply}");
        assert!(reply.contains("\r\ntrailer: x-checksum\r\n"), "{reply}");
        assert!(reply.ends_with("2\r\nab\r\n0\r\nx-checksum: 17\r\n\r\n"), "{reply}");
    }
}

#[tokio::test]
async fn a_response_to_head_is_replayed_with_the_length_that_it_announced() {
    let answers = any(async || {
        let mut response = Response::new(Body::empty());
        response.headers_mut().insert("content-length", HeaderValue::from_static("4711"));
        response
    });
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let router = Router::new().route("/a", answers).layer(layer.methods([Method::HEAD]));
    let client = Client::new(serve(router).await);
    for replayed in [false, true] {
        let request = client.request(Method::HEAD, "/a").header("idempotency-key", "k");
        let reply = client.send(request, "").await;
        assert_eq!(reply.is_replayed(), replayed);
        assert_eq!(reply.header("content-length"), Some("4711"));
        assert!(reply.body.is_empty());
    }
}

#[tokio::test]
async fn a_response_without_a_body_is_replayed_without_one() {
    let answers = post(async || StatusCode::NO_CONTENT);
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let client = client_of(answers, layer).await;
    for replayed in [false, true] {
        let reply = client.post("/a", "k", "x").await;
        assert_eq!((reply.status.as_u16(), reply.is_replayed()), (204, replayed));
        assert_eq!(reply.header("content-length"), None);
        assert!(reply.body.is_empty());
    }
}

const CHUNKED: &str = "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\nconnection: close\r\n\
                       transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n6\r\ndefghi\r\n0\r\n";

#[tokio::test]
async fn what_arrives_in_pieces_is_the_same_request_as_what_arrives_whole() {
    let service = Counting::on(&Stage::on_memory()).await;
    let reply = exchange(service.addr, &format!("{CHUNKED}\r\n")).await;
    assert!(reply.contains("run 1 of abcdefghi"), "{reply}");
    assert!(service.client.post("/a", "k", "abcdefghi").await.is_replayed());
}

#[tokio::test]
async fn trailers_of_a_request_reach_the_handler() {
    let echoes = post(async |body: Body| {
        let collected = body.collect().await.unwrap();
        let trailers = collected.trailers().cloned().unwrap_or_default();
        (trailers, collected.to_bytes()).into_response()
    });
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let addr = serve(Router::new().route("/a", echoes).layer(layer)).await;
    let reply = exchange(addr, &format!("{CHUNKED}x-checksum: 17\r\n\r\n")).await;
    assert!(reply.contains("x-checksum: 17") && reply.ends_with("abcdefghi"), "{reply}");
}

#[tokio::test]
async fn a_body_in_pieces_that_turns_out_too_large_is_refused_or_passes_through_whole() {
    let stage = Stage::on_memory();
    let limited = async |over| {
        let service = Counting::with(&stage, |layer| layer.request_limit(5, over)).await;
        let reply = exchange(service.addr, &format!("{CHUNKED}\r\n")).await;
        (reply, service.runs())
    };
    let (reply, runs) = limited(OverLimit::Refuse).await;
    assert!(reply.starts_with("HTTP/1.1 413 ") && reply.contains("body-too-large"), "{reply}");
    assert_eq!(runs, 0);
    let (reply, runs) = limited(OverLimit::Bypass).await;
    assert!(reply.contains("idempotency-bypassed: request-too-large"), "{reply}");
    assert!(reply.contains("run 1 of abcdefghi"), "{reply}");
    assert_eq!(runs, 1);
}

/// Where the application's own limit is lower, or outside of the layer.
#[tokio::test]
async fn a_body_that_is_cut_at_anothers_limit_is_too_large_too() {
    let limited = from_fn(async |request: Request, next: Next| {
        let limited = request.map(|body| Body::new(Limited::new(body, 5)));
        next.run(limited).await
    });
    let runs = Count::default();
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let router = Router::new().route("/a", counting(&runs)).layer(layer).layer(limited);
    let reply = exchange(serve(router).await, &format!("{CHUNKED}\r\n")).await;
    assert!(reply.starts_with("HTTP/1.1 413 ") && reply.contains("body-too-large"), "{reply}");
    assert_eq!(runs.load(Ordering::SeqCst), 0);
}

/// Whoever asks before it sends learns that it need not send.
#[tokio::test]
async fn a_body_that_announces_too_much_is_not_read() {
    let stage = Stage::on_memory();
    let service = Counting::with(&stage, |layer| layer.request_limit(5, OverLimit::Refuse)).await;
    let head = "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\nconnection: close\r\n\
                content-length: 1000000000000\r\nexpect: 100-continue\r\n\r\n";
    let reply = exchange(service.addr, head).await;
    assert!(reply.starts_with("HTTP/1.1 413 "), "{reply}");
}

#[tokio::test]
async fn a_response_in_pieces_that_turns_out_too_large_reaches_its_client_whole() {
    for over in [OverLimit::Refuse, OverLimit::Bypass] {
        let sent = trailers(&[("x-checksum", "17")]);
        let answers = post(async move || {
            Response::new(pieces(vec!["abc", "def", "ghi", "jkl"], Some(sent.clone())))
        });
        let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
        let router = Router::new().route("/a", answers).layer(layer.response_limit(7, over));
        let client = Client::speaking_http2(serve(router).await);
        let reply = client.post("/a", "k", "x").await;
        assert_eq!(reply.text(), "abcdefghijkl");
        assert_eq!(reply.trailers.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_is_a_crash_by_policy() {
    for (policy, status, code) in
        [(CrashPolicy::Retry, 500, "handler-failed"), (CrashPolicy::Park, 409, "outcome-unknown")]
    {
        let breaks = post(async || {
            let frames = [Ok(Frame::data(Bytes::from_static(b"half"))), Err("torn")];
            Response::new(Body::new(StreamBody::new(stream::iter(frames))))
        });
        let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
        let client = client_of(breaks, layer.on_crash(policy)).await;
        client.post("/a", "k", "x").await.assert_problem(500, "handler-failed");
        client.post("/a", "k", "x").await.assert_problem(status, code);
    }
}
