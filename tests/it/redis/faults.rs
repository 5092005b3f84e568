//! Servers that fail.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use idem_runtime::record::{Fence, OwnerId};
use idem_runtime::storage::{Claimed, RedisStorage, Storage, StorageErrorKind, Written};
use testkit::proxy::{FaultProxy, Loss};
use testkit::redis::RedisServer;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};

use super::{claim, complete, connect, fresh_key, renew};
use crate::stage::until;

#[tokio::test(flavor = "multi_thread")]
async fn flushed_scripts_are_sent_again() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let (keys, owner) = ([fresh_key(), fresh_key()], OwnerId::random());
    for key in &keys {
        storage.claim(&claim(key, owner)).await.unwrap();
    }
    server.command(&["SCRIPT", "FLUSH"]);
    let renewals = keys.each_ref().map(|key| renew(key, owner));
    for reply in storage.renew(&renewals).await {
        assert_eq!(reply.unwrap(), Written::Done);
    }
    server.command(&["SCRIPT", "FLUSH"]);
    let reply = storage.claim(&claim(&keys[0], OwnerId::random())).await.unwrap();
    assert!(matches!(reply, Claimed::InProgress { .. }));
    server.command(&["SCRIPT", "FLUSH"]);
    assert_eq!(storage.complete(&complete(&keys[0], owner, "1")).await.unwrap(), Written::Done);
    assert!(storage.load(&keys[1]).await.unwrap().is_some());
}

/// A URL of the server on `port`, and how many connections to it both sides have not closed yet.
async fn observed(port: u16) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = format!("redis://{}/", listener.local_addr().unwrap());
    let open = Arc::<AtomicUsize>::default();
    let count = Arc::clone(&open);
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let open = Arc::clone(&count);
            open.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.unwrap();
                // Passes the end of each direction on, and ends when both have.
                let _ = copy_bidirectional(&mut client, &mut server).await;
                open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    });
    (url, open)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_connection_costs_an_idle_storage_nothing() {
    let server = RedisServer::start();
    let (url, open) = observed(server.port()).await;
    let storage = connect(&url).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    for _ in 0..5 {
        storage.claim(&claim(&key, owner)).await.unwrap();
        assert_ne!(open.load(Ordering::SeqCst), 0);
        server.command(&["CLIENT", "KILL", "TYPE", "normal"]);
        until("the client has closed its side", || open.load(Ordering::SeqCst) == 0).await;
    }
    assert_eq!(storage.complete(&complete(&key, owner, "1")).await.unwrap(), Written::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_server_is_found_again_and_its_loss_is_a_lost_lease() {
    let mut server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    server.kill();
    let error = storage.complete(&complete(&key, owner, "1")).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    let error = storage.complete(&complete(&key, owner, "1")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error}");
    server.start_again();
    let written = storage.complete(&complete(&key, owner, "1")).await.unwrap();
    assert!(matches!(written, Written::LeaseLost(_)), "{written:?}");
    assert_eq!(
        storage.claim(&claim(&key, owner)).await.unwrap(),
        Claimed::Acquired { fence: Fence::FIRST, recovered: false }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_reply_is_indeterminate_and_asking_again_is_safe() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let storage = connect(&proxy.url()).await;
    let (key, owner) = (fresh_key(), OwnerId::random());

    proxy.drop_replies(Loss::next(1));
    let error = storage.claim(&claim(&key, owner)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Indeterminate, "{error}");
    let again = storage.claim(&claim(&key, owner)).await.unwrap();
    assert_eq!(again, Claimed::Acquired { fence: Fence::FIRST, recovered: false });

    // So that the script is known.
    let warm = fresh_key();
    storage.claim(&claim(&warm, owner)).await.unwrap();
    storage.complete(&complete(&warm, owner, "1")).await.unwrap();
    proxy.drop_replies(Loss::next(1));
    let error = storage.complete(&complete(&key, owner, "1")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Indeterminate, "{error}");
    assert_eq!(storage.complete(&complete(&key, owner, "1")).await.unwrap(), Written::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_no_longer_answers_is_given_up() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let builder = RedisStorage::builder(proxy.url());
    let storage = builder.response_timeout(Duration::from_millis(200)).connect().await.unwrap();
    let (key, owner) = (fresh_key(), OwnerId::random());
    proxy.drop_replies(Loss::next(1).hanging());
    let error = storage.claim(&claim(&key, owner)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Indeterminate, "{error}");
    let again = storage.claim(&claim(&key, owner)).await.unwrap();
    assert_eq!(again, Claimed::Acquired { fence: Fence::FIRST, recovered: false });
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_of_an_unreachable_server_do_not_wait_for_each_other() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let limit = Duration::from_millis(300);
    let builder = RedisStorage::builder(proxy.url()).connection_timeout(limit);
    let storage = builder.response_timeout(limit).connect().await.unwrap();
    server.pause();
    proxy.cut();
    let start = std::time::Instant::now();
    let calls: Vec<_> = (0..50)
        .map(|_| {
            let storage = storage.clone();
            tokio::spawn(async move {
                storage.claim(&claim(&fresh_key(), OwnerId::random())).await.unwrap_err()
            })
        })
        .collect();
    for call in calls {
        assert!(call.await.unwrap().is_transient());
    }
    assert!(start.elapsed() < limit * 5, "{:?}", start.elapsed());
    server.resume();
    storage.claim(&claim(&fresh_key(), OwnerId::random())).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_server_refuses_claims_and_results_but_renews_and_releases() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    storage.renew(&[renew(&key, owner)]).await.remove(0).unwrap();
    server.command(&["CONFIG", "SET", "maxmemory", "1"]);
    let error = storage.claim(&claim(&fresh_key(), owner)).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error}");
    assert!(error.to_string().contains("out of memory"), "{error}");
    let error = storage.complete(&complete(&key, owner, "1")).await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::NotApplied, "{error}");
    let renewed = storage.renew(&[renew(&key, owner)]).await.remove(0).unwrap();
    assert_eq!(renewed, Written::Done);
    server.command(&["CONFIG", "SET", "maxmemory", "0"]);
    assert_eq!(storage.complete(&complete(&key, owner, "1")).await.unwrap(), Written::Done);
}

#[test]
fn a_storage_outlives_the_runtime_that_made_it() {
    let server = RedisServer::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let storage = first.block_on(connect(&server.url()));
    let (key, owner) = (fresh_key(), OwnerId::random());
    first.block_on(storage.claim(&claim(&key, owner))).unwrap();
    drop(first);
    let written = runtime().block_on(storage.complete(&complete(&key, owner, "1"))).unwrap();
    assert_eq!(written, Written::Done);
}
