//! A cluster whose slots move and whose nodes fail.

use std::time::{Duration, Instant};

use idem_runtime::Key;
use idem_runtime::key::{KeyBuilder, RecordKey};
use idem_runtime::record::{Fence, OwnerId};
use idem_runtime::storage::{Claimed, RedisStorage, Storage, StorageError, Written};
use testkit::redis::ClusterSetup;

use super::{claim, complete, fresh_key, redis_key, renew};

const SOON: Duration = Duration::from_secs(20);

async fn retried<T>(mut verb: impl AsyncFnMut() -> Result<T, StorageError>) -> T {
    let start = Instant::now();
    loop {
        match verb().await {
            Ok(reply) => return reply,
            Err(error) => {
                assert!(error.is_transient(), "{error}");
                assert!(start.elapsed() < SOON, "{error}");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Has a waiter claim a key that somebody else is at work on.
async fn contend(storage: &RedisStorage, key: &RecordKey) {
    let rival = claim(key, OwnerId::random());
    let answer = retried(async || storage.claim(&rival).await).await;
    assert!(matches!(answer, Claimed::InProgress { .. }), "{answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_moves_takes_its_records_along() {
    let cluster = ClusterSetup::start();
    let storage = RedisStorage::cluster(cluster.urls()).connect().await.unwrap();
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    let slot = cluster.slot_of(&redis_key(&key));
    let from = cluster.owner_of(slot);
    let to = (from + 1) % 3;

    let moving = cluster.begin_move(slot, from, to);
    moving.move_keys();
    // The key is at its new node, and the old one still serves the slot.
    assert_eq!(storage.renew(&[renew(&key, owner)]).await.remove(0).unwrap(), Written::Done);
    moving.finish();
    assert_eq!(storage.complete(&complete(&key, owner, "1")).await.unwrap(), Written::Done);
    let replay = storage.claim(&claim(&key, OwnerId::random())).await.unwrap();
    assert!(matches!(replay, Claimed::Replay(_)), "{replay:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiter_is_woken_after_its_slot_has_moved() {
    let cluster = ClusterSetup::start();
    let storage = RedisStorage::cluster(cluster.urls()).connect().await.unwrap();
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    let mut wakeup = storage.watch(&key).await.unwrap().unwrap();
    contend(&storage, &key).await;
    let slot = cluster.slot_of(&redis_key(&key));
    let from = cluster.owner_of(slot);
    cluster.move_slot(slot, from, (from + 1) % 3);
    storage.complete(&complete(&key, owner, "1")).await.unwrap();
    assert!(tokio::time::timeout(SOON, wakeup.changed()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_fails_is_replaced_by_its_replica() {
    let mut cluster = ClusterSetup::start_with_replicas();
    let storage = RedisStorage::cluster(cluster.urls()).connect().await.unwrap();
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    let mut wakeup = storage.watch(&key).await.unwrap().unwrap();
    let slot = cluster.slot_of(&redis_key(&key));
    cluster.fail_over(slot);
    let claimed = retried(async || storage.claim(&claim(&key, owner)).await).await;
    assert_eq!(claimed, Claimed::Acquired { fence: Fence::FIRST, recovered: false });
    // The wake-up for the connection that was lost means that the new one is subscribed.
    assert!(tokio::time::timeout(SOON, wakeup.changed()).await.is_ok());
    contend(&storage, &key).await;
    let written = retried(async || storage.complete(&complete(&key, owner, "1")).await).await;
    assert_eq!(written, Written::Done);
    assert!(tokio::time::timeout(SOON, wakeup.changed()).await.is_ok());
}

/// Whoever chooses keys and tenants does not choose the node that keeps them, nor that of the channel that wakes waiters.
#[tokio::test(flavor = "multi_thread")]
async fn braces_in_keys_and_tenants_choose_no_slot() {
    let cluster = ClusterSetup::start();
    let storage = RedisStorage::cluster(cluster.urls()).connect().await.unwrap();
    let owner = OwnerId::random();
    let record = |tenant: String, key: String| {
        RecordKey::new("it", Some(&tenant), &Key::http(key).unwrap()).unwrap()
    };
    let by_key = (0..60).map(|number| record("t".into(), format!("{{a}}{number}")));
    let by_tenant = (0..60).map(|number| record(format!("{{a}}{number}"), "k".into()));
    let by_template = (0..60).map(|number| {
        let key = KeyBuilder::new(0).literal("job:").value("id", &format!("{{a}}{number}"));
        RecordKey::new("it", None, &key.unwrap().finish().unwrap()).unwrap()
    });
    for keys in [by_key.collect::<Vec<_>>(), by_tenant.collect(), by_template.collect()] {
        let mut records = [0; 3];
        for key in &keys {
            storage.claim(&claim(key, owner)).await.unwrap();
            records[cluster.owner_of(cluster.slot_of(&redis_key(key)))] += 1;
        }
        // Of 60 records 20 fall to each node, and to none fewer than 5 but once in a million times.
        assert!(records.iter().all(|&count| count >= 5), "{records:?} {keys:?}");
    }
    let held: usize = (0..3)
        .map(|node| cluster.node(node).command(&["DBSIZE"]).trim().parse::<usize>().unwrap())
        .sum();
    assert_eq!(held, 180);

    let key = record("{t}".into(), "{a}wake".into());
    storage.claim(&claim(&key, owner)).await.unwrap();
    let mut wakeup = storage.watch(&key).await.unwrap().unwrap();
    contend(&storage, &key).await;
    storage.complete(&complete(&key, owner, "1")).await.unwrap();
    assert!(tokio::time::timeout(SOON, wakeup.changed()).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_visits_every_primary() {
    let cluster = ClusterSetup::start();
    let hosts: Vec<_> = (0..3).map(|n| format!("127.0.0.1:{}", cluster.node(n).port())).collect();
    let url = format!("redis-cluster://{}", hosts.join(","));
    let storage = RedisStorage::connect(&url).await.unwrap();
    let owner = OwnerId::random();
    let mut keys: Vec<_> = (0..200).map(|_| fresh_key()).collect();
    for key in &keys {
        storage.claim(&claim(key, owner)).await.unwrap();
    }
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = storage.scan(cursor.as_ref(), 30).await.unwrap();
        assert!(page.records.iter().all(|(_, record)| record.is_ok()));
        found.extend(page.records.into_iter().map(|(key, _)| key));
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    found.sort();
    found.dedup();
    keys.sort();
    assert_eq!(found, keys);
}

#[test]
fn a_storage_on_a_cluster_outlives_the_runtime_that_made_it() {
    let cluster = ClusterSetup::start();
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let storage = first.block_on(RedisStorage::cluster(cluster.urls()).connect()).unwrap();
    let (key, owner) = (fresh_key(), OwnerId::random());
    first.block_on(storage.claim(&claim(&key, owner))).unwrap();
    drop(first.block_on(storage.watch(&key)).unwrap());
    drop(first);
    runtime().block_on(async {
        let mut wakeup = storage.watch(&key).await.unwrap().unwrap();
        contend(&storage, &key).await;
        let written = storage.complete(&complete(&key, owner, "1")).await.unwrap();
        assert_eq!(written, Written::Done);
        assert!(tokio::time::timeout(SOON, wakeup.changed()).await.is_ok());
    });
}
