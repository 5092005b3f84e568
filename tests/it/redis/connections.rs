//! The connections of each runtime, and the library's own.

use std::future::pending;
use std::sync::mpsc;
use std::time::Duration;

use idem_runtime::record::OwnerId;
use idem_runtime::storage::{Claimed, RedisStorage, Storage};
use idem_runtime::{Error, ErrorKind, Idempotency};
use testkit::redis::RedisServer;
use tokio::runtime::{Builder, Runtime};

use super::{claim, fresh_key};
use crate::stage::PATIENCE;

/// Of a process with one runtime, while nobody waits: two of the runtime and one of the library.
const ALONE: usize = 3;

/// Clients of the server but the one that asks.
fn clients(server: &RedisServer) -> usize {
    server.command(&["CLIENT", "LIST", "TYPE", "normal"]).matches(" addr=").count() - 1
}

fn until_clients(server: &RedisServer, count: usize) {
    let what = format!("the server has {count} clients");
    testkit::wait::until(&what, PATIENCE, || clients(server) == count);
}

async fn claims(storage: &RedisStorage) {
    for _ in 0..8 {
        let claimed = storage.claim(&claim(&fresh_key(), OwnerId::random())).await.unwrap();
        assert!(matches!(claimed, Claimed::Acquired { .. }), "{claimed:?}");
    }
}

#[test]
fn a_runtime_has_connections_of_its_own_as_long_as_it_lasts() {
    let server = RedisServer::start();
    let first = Runtime::new().unwrap();
    let storage = first.block_on(RedisStorage::connect(server.url())).unwrap();
    first.block_on(claims(&storage));
    until_clients(&server, ALONE);

    let (go_on, until_all) = mpsc::channel::<()>();
    let until_all = std::sync::Arc::new(parking_lot::Mutex::new(until_all));
    let others: Vec<_> = (0..3)
        .map(|_| {
            let (storage, until_all) = (storage.clone(), until_all.clone());
            std::thread::spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(claims(&storage));
                // Fails when the test has seen them all.
                let _ = until_all.lock().recv();
            })
        })
        .collect();
    until_clients(&server, ALONE + 2 * others.len());
    drop(go_on);
    for other in others {
        other.join().unwrap();
    }
    until_clients(&server, ALONE);

    // The one that connected may go as well: the storage goes on with its own.
    drop(first);
    until_clients(&server, 1);
    Runtime::new().unwrap().block_on(claims(&storage));
    drop(storage);
    until_clients(&server, 0);
}

async fn moments(count: u64) {
    for _ in 0..count {
        tokio::task::yield_now().await;
    }
}

/// The claim was sent, and the release is on its way: neither overtakes the other, and the next call finds the key free.
#[test]
fn what_a_dropped_call_releases_is_behind_its_claim_and_before_the_next_one() {
    let server = RedisServer::start();
    for runtime in [Builder::new_current_thread(), Builder::new_multi_thread()] {
        let runtime = { runtime }.enable_all().build().unwrap();
        runtime.block_on(async {
            let storage = RedisStorage::connect(server.url()).await.unwrap();
            let idem = Idempotency::builder(storage).lease(Duration::from_secs(60)).build().unwrap();
            // The server learns the script for releases, which is sent a second time then.
            let released = idem.operation("charge").key("first").retry_if(|_: &Error| true);
            released.run(async { Err::<(), _>(Error::new(ErrorKind::Storage, "not today")) }).await.unwrap_err();
            for number in 0..200 {
                let key = format!("{}-{number}", OwnerId::random());
                let charge = || idem.operation("charge").key(key.as_str());
                // The claim is on its way, or has been answered just now.
                tokio::select! {
                    biased;
                    never = charge().run(pending::<Result<u64, Error>>()) => never.map(drop).unwrap(),
                    () = moments(number % 8) => {}
                }
                assert_eq!(charge().run(async { Ok::<_, Error>(number) }).await.unwrap(), number);
            }
        });
    }
}
