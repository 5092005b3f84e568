//! A primary behind sentinels that is replaced.

use std::time::{Duration, Instant};

use idem_runtime::record::OwnerId;
use idem_runtime::storage::{
    Claimed, RedisStorage, Storage, StorageError, StorageErrorKind, Written,
};
use testkit::redis::{RedisServer, SentinelSetup};

use super::{claim, complete, fresh_key};

/// How long a replacement may take to be found.
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

#[tokio::test(flavor = "multi_thread")]
async fn a_demoted_primary_is_left_for_the_new_one() {
    let setup = SentinelSetup::start();
    let hosts: Vec<_> = (0..3).map(|n| format!("127.0.0.1:{}", setup.sentinel(n).port())).collect();
    let url = format!("redis-sentinel://{}/{}", hosts.join(","), setup.master_name());
    let storage = RedisStorage::connect(&url).await.unwrap();
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    let mut wakeup = storage.watch(&key).await.unwrap().unwrap();
    let waiter = storage.claim(&claim(&key, OwnerId::random())).await.unwrap();
    assert!(matches!(waiter, Claimed::InProgress { .. }), "{waiter:?}");
    setup.primary().wait_until_replicated();
    setup.fail_over();
    let written = retried(async || storage.complete(&complete(&key, owner, "1")).await).await;
    assert_eq!(written, Written::Done);
    assert!(tokio::time::timeout(SOON, wakeup.changed()).await.is_ok());
    let replay = storage.claim(&claim(&key, OwnerId::random())).await.unwrap();
    assert!(matches!(replay, Claimed::Replay(_)), "{replay:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_primary_is_replaced() {
    let mut setup = SentinelSetup::start();
    let builder = RedisStorage::sentinel(setup.sentinel_urls(), setup.master_name());
    let storage = builder.connect().await.unwrap();
    let (key, owner) = (fresh_key(), OwnerId::random());
    storage.claim(&claim(&key, owner)).await.unwrap();
    setup.kill_primary();
    let claimed = retried(async || storage.claim(&claim(&key, owner)).await).await;
    assert!(matches!(claimed, Claimed::Acquired { .. }), "{claimed:?}");
    let written = retried(async || storage.complete(&complete(&key, owner, "1")).await).await;
    assert_eq!(written, Written::Done);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_login_of_the_servers_is_apart_from_that_of_the_sentinels() {
    let setup = SentinelSetup::start_with(RedisServer::builder().password("p@ss"));
    let builder = || RedisStorage::sentinel(setup.sentinel_urls(), setup.master_name());
    let error = builder().connect().await.unwrap_err();
    assert_eq!(error.kind(), StorageErrorKind::Configuration, "{error}");
    let storage = builder().login(None, "p@ss").connect().await.unwrap();
    storage.claim(&claim(&fresh_key(), OwnerId::random())).await.unwrap();
    let hosts =
        setup.sentinel_urls()[0].trim_start_matches("redis://").trim_end_matches('/').to_owned();
    let url = format!("redis-sentinel://:p%40ss@{hosts}/{}", setup.master_name());
    RedisStorage::connect(&url).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_primary_is_an_error_that_says_so() {
    let setup = SentinelSetup::start();
    let builder = RedisStorage::sentinel(setup.sentinel_urls(), "nobody");
    let error = builder.connect().await.unwrap_err();
    assert!(error.to_string().contains("know no reachable primary"), "{error}");
}
