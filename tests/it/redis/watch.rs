//! Wake-ups.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use idem_runtime::record::{Fence, OwnerId};
use idem_runtime::storage::{Claimed, RedisStorage, Storage, Wakeup, Written};
use testkit::proxy::FaultProxy;
use testkit::redis::RedisServer;
use testkit::wait;
use tokio::task::JoinSet;

use super::{claim, complete, connect, fresh_key, redis_key, release, renew};

/// Long for a message, short for a test.
const SOON: Duration = Duration::from_secs(5);

async fn watch(storage: &RedisStorage, key: &idem_runtime::key::RecordKey) -> Wakeup {
    storage.watch(key).await.unwrap().unwrap()
}

/// Has a waiter claim a key that somebody else is at work on.
async fn contend(storage: &RedisStorage, key: &idem_runtime::key::RecordKey) {
    let answer = storage.claim(&claim(key, OwnerId::random())).await.unwrap();
    assert!(matches!(answer, Claimed::InProgress { .. }), "{answer:?}");
}

async fn woken(wakeup: &mut Wakeup) -> bool {
    tokio::time::timeout(SOON, wakeup.changed()).await.is_ok()
}

async fn asleep(wakeup: &mut Wakeup) -> bool {
    tokio::time::timeout(Duration::from_millis(100), wakeup.changed()).await.is_err()
}

fn channels(server: &RedisServer) -> HashSet<String> {
    server.command(&["PUBSUB", "SHARDCHANNELS"]).lines().map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_result_and_a_release_wake_the_waiters_of_their_key_elsewhere() {
    let server = RedisServer::start();
    let (here, there) = (connect(&server.url()).await, connect(&server.url()).await);
    let (key, other, owner) = (fresh_key(), fresh_key(), OwnerId::random());
    here.claim(&claim(&key, owner)).await.unwrap();
    let (mut first, mut second) = (watch(&there, &key).await, watch(&there, &key).await);
    let mut unrelated = watch(&there, &other).await;
    contend(&there, &key).await;
    here.release(&release(&key, owner)).await.unwrap();
    assert!(woken(&mut first).await && woken(&mut second).await);

    here.claim(&claim(&key, owner)).await.unwrap();
    contend(&there, &key).await;
    here.complete(&complete(&key, owner, "1")).await.unwrap();
    assert!(woken(&mut first).await && woken(&mut second).await);
    assert!(asleep(&mut unrelated).await);
}

/// How often a server was told to publish.
fn published(server: &RedisServer) -> u64 {
    let stats = server.info("commandstats").remove("cmdstat_spublish").unwrap_or_default();
    stats.trim_start_matches("calls=").split(',').next().unwrap().parse().unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_is_published_only_where_a_claim_met_the_call_at_work() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    let (key, owner) = (fresh_key(), OwnerId::random());
    for _ in 0..2 {
        storage.claim(&claim(&key, owner)).await.unwrap();
        storage.release(&release(&key, owner)).await.unwrap();
    }
    storage.claim(&claim(&key, owner)).await.unwrap();
    storage.complete(&complete(&key, owner, "1")).await.unwrap();
    assert_eq!(published(&server), 0);

    let key = fresh_key();
    storage.claim(&claim(&key, owner)).await.unwrap();
    contend(&storage, &key).await;
    storage.release(&release(&key, owner)).await.unwrap();
    assert_eq!(published(&server), 1);
    // The mark goes with the record.
    storage.claim(&claim(&key, owner)).await.unwrap();
    storage.complete(&complete(&key, owner, "1")).await.unwrap();
    assert_eq!(published(&server), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_is_waited_for_is_otherwise_like_any_other() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    server.command(&["CONFIG", "RESETSTAT"]);
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    let before = storage.load(&key).await.unwrap().unwrap();
    contend(&storage, &key).await;
    contend(&storage, &key).await;
    let after = storage.load(&key).await.unwrap().unwrap();
    assert_eq!((after.owner, after.fence), (before.owner, before.fence));
    assert!(after.expires_at.as_millis().abs_diff(before.expires_at.as_millis()) < 100);

    let again = storage.claim(&claim(&key, owner)).await.unwrap();
    assert_eq!(again, Claimed::Acquired { fence: Fence::FIRST, recovered: false });
    assert_eq!(storage.renew(&[renew(&key, owner)]).await[0].as_ref().unwrap(), &Written::Done);
    assert_eq!(storage.complete(&complete(&key, owner, "1")).await.unwrap(), Written::Done);
    assert_eq!(storage.complete(&complete(&key, owner, "1")).await.unwrap(), Written::Done);
    assert_eq!(published(&server), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wake_up_comes_within_milliseconds() {
    let server = RedisServer::start();
    let (here, there) = (connect(&server.url()).await, connect(&server.url()).await);
    let mut took = Vec::new();
    for _ in 0..21 {
        let (key, owner) = (fresh_key(), OwnerId::random());
        here.claim(&claim(&key, owner)).await.unwrap();
        let mut wakeup = watch(&there, &key).await;
        contend(&there, &key).await;
        let completing = tokio::spawn({
            let (here, key) = (here.clone(), key.clone());
            async move {
                here.complete(&complete(&key, owner, "1")).await.unwrap();
                Instant::now()
            }
        });
        assert!(woken(&mut wakeup).await);
        let woken = Instant::now();
        took.push(woken.saturating_duration_since(completing.await.unwrap()));
    }
    took.sort();
    assert!(took[10] < Duration::from_millis(20), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_subscribed_to_while_somebody_waits_for_it() {
    let server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let key = fresh_key();
    assert_eq!(channels(&server).len(), 0);
    for _ in 0..50 {
        let first = watch(&storage, &key).await;
        let second = watch(&storage, &key).await;
        assert_eq!(channels(&server), HashSet::from([redis_key(&key)]));
        drop(first);
        // Coming and going overtake each other as they like.
        drop(second);
    }
    wait::until_async("the last waiter's subscription ends", SOON, || channels(&server).is_empty())
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_wakes_everybody_and_is_subscribed_again() {
    let mut server = RedisServer::start();
    let storage = connect(&server.url()).await;
    let keys = [fresh_key(), fresh_key()];
    let mut wakeups = [watch(&storage, &keys[0]).await, watch(&storage, &keys[1]).await];

    server.command(&["CLIENT", "KILL", "TYPE", "pubsub"]);
    for wakeup in &mut wakeups {
        assert!(woken(wakeup).await);
    }
    wait::until_async("both are subscribed again", SOON, || channels(&server).len() == 2).await;

    server.restart();
    wait::until_async("both are subscribed again", SOON, || channels(&server).len() == 2).await;
    let owner = OwnerId::random();
    // What the restart woke them for.
    while !asleep(&mut wakeups[0]).await {}
    storage.claim(&claim(&keys[0], owner)).await.unwrap();
    contend(&storage, &keys[0]).await;
    storage.complete(&complete(&keys[0], owner, "1")).await.unwrap();
    assert!(woken(&mut wakeups[0]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_right_to_channels_results_are_stored_and_waiters_poll() {
    let server = RedisServer::start();
    let acl = ["ACL", "SETUSER", "app", "on", ">pass", "~*", "+@all", "resetchannels"];
    server.command(&acl);
    let url = format!("redis://app:pass@127.0.0.1:{}/", server.port());
    let storage = connect(&url).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    assert!(storage.watch(&key).await.unwrap().is_none());
    contend(&storage, &key).await;
    storage.complete(&complete(&key, owner, "1")).await.unwrap();
    assert!(storage.load(&key).await.unwrap().is_some());
}

#[test]
fn waiters_of_a_later_runtime_are_woken() {
    let server = RedisServer::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let storage = first.block_on(connect(&server.url()));
    let _left = first.block_on(watch(&storage, &fresh_key()));
    drop(first);
    runtime().block_on(async {
        let (key, owner) = (fresh_key(), OwnerId::random());
        storage.claim(&claim(&key, owner)).await.unwrap();
        let mut wakeup = watch(&storage, &key).await;
        contend(&storage, &key).await;
        storage.complete(&complete(&key, owner, "1")).await.unwrap();
        assert!(woken(&mut wakeup).await);
    });
}

/// A caller with a short patience and a server that is slow: the server subscribes all the same, and would keep that for good.
#[tokio::test(flavor = "multi_thread")]
async fn waiters_that_leave_before_they_are_subscribed_leave_no_subscription() {
    let server = RedisServer::start();
    let proxy = FaultProxy::start(("127.0.0.1", server.port()));
    let storage = connect(&proxy.url()).await;
    // So that the connection for subscriptions is there.
    drop(watch(&storage, &fresh_key()).await);
    wait::until_async("nobody is subscribed", SOON * 4, || channels(&server).is_empty()).await;
    proxy.delay(Duration::from_millis(700));
    let mut waiters = JoinSet::new();
    for _ in 0..40 {
        let storage = storage.clone();
        waiters.spawn(async move {
            let patience = Duration::from_millis(200);
            assert!(tokio::time::timeout(patience, storage.watch(&fresh_key())).await.is_err());
        });
    }
    wait::until_async("the server has subscribed", SOON * 4, || !channels(&server).is_empty())
        .await;
    waiters.join_all().await;
    proxy.heal();
    wait::until_async("nobody is subscribed", SOON * 4, || channels(&server).is_empty()).await;
}
