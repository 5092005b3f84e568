//! Load from wrk, a fifth of it duplicates, on connections that are cut all the time: as many charges as there are keys.

use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tempfile::TempDir;
use testkit::clients::wrk;
use testkit::process::command;
use testkit::proxy::FaultProxy;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use crate::service::{Service, booked};

/// What a thread of wrk's says at the end.
struct Sent {
    thread: usize,
    keys: usize,
    replayed: usize,
}

#[test]
fn every_key_is_charged_once_under_load() {
    let dir = TempDir::new().unwrap();
    let service = Service::start(dir.path());
    let proxy = FaultProxy::start(service.addr);
    let report = thread::scope(|scope| {
        let load = scope.spawn(|| load(&proxy));
        while !load.is_finished() {
            thread::sleep(Duration::from_millis(150));
            proxy.cut();
        }
        load.join().unwrap()
    });
    let sent: Vec<Sent> = report.lines().filter_map(sent).collect();
    assert_eq!(sent.len(), 2, "{report}");
    assert!(sent.iter().all(|thread| thread.replayed > 0), "there were duplicates: {report}");
    let during = booked(dir.path());
    assert!(during.len() > 100, "{report}");
    assert!(during.values().all(|&times| times == 1), "{report}");
    // What was cut off is asked for again, as clients do.
    let keys: Vec<_> = sent
        .iter()
        .flat_map(|Sent { thread, keys, .. }| (1..=*keys).map(move |n| format!("{thread}-{n}")))
        .collect();
    pay_for_all(&service, &keys);
    let after = booked(dir.path());
    assert_eq!(after.len(), keys.len(), "executions are distinct keys");
    assert!(keys.iter().all(|key| after.get(key) == Some(&1)));
}

fn load(proxy: &FaultProxy) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/load.lua");
    let mut wrk = command(wrk());
    wrk.args(["--threads", "2", "--connections", "16", "--duration", "4s", "--script"])
        .arg(script)
        .arg(format!("http://{}", proxy.addr()))
        .stdin(Stdio::null());
    let output = wrk.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn sent(line: &str) -> Option<Sent> {
    let words: Vec<_> = line.split(' ').collect();
    let ["thread", thread, "sent", keys, "replayed", replayed, ..] = words[..] else { return None };
    let number = |word: &str| word.parse().unwrap();
    Some(Sent { thread: number(thread), keys: number(keys), replayed: number(replayed) })
}

#[tokio::main(flavor = "current_thread")]
async fn pay_for_all(service: &Service, keys: &[String]) {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let at_once = Arc::new(Semaphore::new(32));
    let mut requests = Vec::new();
    for key in keys {
        let request = payment(service, key);
        let client = client.clone();
        let permit = Arc::clone(&at_once).acquire_owned().await.unwrap();
        requests.push(tokio::spawn(async move {
            let _permit = permit;
            loop {
                match client.request(request.clone()).await.unwrap().status().as_u16() {
                    // Its client has gone away, and it is still being handled.
                    409 => sleep(Duration::from_millis(20)).await,
                    status => break assert_eq!(status, 201),
                }
            }
        }));
    }
    for request in requests {
        request.await.unwrap();
    }
}

fn payment(service: &Service, key: &str) -> Request<Full<Bytes>> {
    let body = r#"{"amount":1999,"currency":"eur","card":"tok_visa"}"#;
    Request::post(format!("http://{}/payments", service.addr))
        .header("authorization", "Bearer sk_test_load")
        .header("content-type", "application/json")
        .header("idempotency-key", key)
        .body(Full::new(Bytes::from_static(body.as_bytes())))
        .unwrap()
}
