//! Responses that have no end to wait for.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::Router;
use axum::body::Body;
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream;
use http::Response;
use http_body::Frame;
use http_body_util::StreamBody;
use idempotency::http::{IdempotencyLayer, anonymous};
use idempotency::record::Status;
use idempotency::storage::Storage;
use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::service::serve;
use crate::stage::{Count, PATIENCE, Stage};

type Events = mpsc::UnboundedSender<&'static str>;

/// A handler whose every response is one of server-sent events that the test sends, and where they are sent to.
fn streaming(runs: &Count, kind: &'static str) -> (axum::routing::MethodRouter, Senders) {
    let senders = Senders::default();
    let (runs, opened) = (Arc::clone(runs), Arc::clone(&senders));
    let handler = post(async move || {
        runs.fetch_add(1, Ordering::SeqCst);
        let (sender, receiver) = mpsc::unbounded_channel::<&str>();
        opened.lock().push(sender);
        let events = stream::unfold(receiver, async |mut events| {
            let event = events.recv().await?;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from_static(event.as_bytes()))), events))
        });
        let mut response = Response::new(Body::new(StreamBody::new(events)));
        response.headers_mut().insert("content-type", kind.parse().unwrap());
        response
    });
    (handler, senders)
}

type Senders = Arc<Mutex<Vec<Events>>>;

async fn opened(senders: &Senders, count: usize) -> Events {
    let there = || senders.lock().len() >= count;
    testkit::wait::until_async("the stream is opened", PATIENCE, there).await;
    senders.lock()[count - 1].clone()
}

async fn post_on(stream: &mut TcpStream) {
    let head = "POST /a HTTP/1.1\r\nhost: x\r\nidempotency-key: k\r\ncontent-length: 1\r\n\r\nx";
    stream.write_all(head.as_bytes()).await.unwrap();
}

/// Reads until `text` has arrived, and no further than what is there.
async fn read_until(stream: &mut TcpStream, text: &str) -> String {
    let mut read = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&read).contains(text) {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{text} never comes");
        }
    };
    timeout(PATIENCE, reading).await.expect("it arrives in time");
    String::from_utf8(read).unwrap()
}

#[tokio::test]
async fn events_arrive_one_by_one_and_nothing_is_stored_of_them() {
    let stage = Stage::on_memory();
    let runs = Count::default();
    let (handler, senders) = streaming(&runs, "Text/Event-Stream;charset=utf-8");
    let layer = IdempotencyLayer::new(stage.idem(), anonymous());
    let addr = serve(Router::new().route("/a", handler).layer(layer)).await;
    let mut first = TcpStream::connect(addr).await.unwrap();
    post_on(&mut first).await;
    let events = opened(&senders, 1).await;
    events.send("data: 1\n\n").unwrap();
    let head = read_until(&mut first, "data: 1\n\n").await;
    assert!(head.starts_with("HTTP/1.1 200 ") && !head.contains("idempotent-"), "{head}");
    events.send("data: 2\n\n").unwrap();
    read_until(&mut first, "data: 2\n\n").await;
    let mut records = stage.storage().scan(None, 10).await.unwrap().records;
    let (_, record) = records.pop().expect("the record of the released key");
    assert_eq!((records.len(), record.unwrap().status()), (0, Status::Released));
    // The key is free while the stream goes on: a client that lost its connection gets another stream.
    let mut second = TcpStream::connect(addr).await.unwrap();
    post_on(&mut second).await;
    opened(&senders, 2).await.send("data: 3\n\n").unwrap();
    read_until(&mut second, "data: 3\n\n").await;
    assert_eq!(runs.load(Ordering::SeqCst), 2);
}

/// Unlike work, a stream has nobody left to go on for.
#[tokio::test]
async fn a_stream_ends_when_its_client_goes_away() {
    let runs = Count::default();
    let (handler, senders) = streaming(&runs, "text/event-stream");
    let layer = IdempotencyLayer::new(Stage::on_memory().idem(), anonymous());
    let tasks = layer.tasks();
    let addr = serve(Router::new().route("/a", handler).layer(layer)).await;
    let mut client = TcpStream::connect(addr).await.unwrap();
    post_on(&mut client).await;
    let events = opened(&senders, 1).await;
    events.send("data: 1\n\n").unwrap();
    read_until(&mut client, "data: 1\n\n").await;
    assert!(tasks.is_empty(), "a stream does not hold up a shut-down");
    drop(client);
    timeout(PATIENCE, events.closed()).await.expect("the stream ends");
}
