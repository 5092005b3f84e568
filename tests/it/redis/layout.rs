//! Records that are not what this version writes: an error, and they stay as they are.

use idem_runtime::record::OwnerId;
use idem_runtime::storage::{Storage, StorageErrorKind};
use testkit::redis::shared;

use super::{claim, complete, connect, fresh_key, redis_key, release, renew};

/// Every verb that meets `value` under the record's key answers with this kind and leaves it alone.
async fn every_verb_refuses(value: &str, kind: StorageErrorKind) {
    let storage = connect(shared().url()).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    let name = redis_key(&key);
    shared().command(&["SET", &name, value, "PX", "600000"]);
    let kinds = [
        storage.claim(&claim(&key, owner)).await.unwrap_err().kind(),
        storage.renew(&[renew(&key, owner)]).await.remove(0).unwrap_err().kind(),
        storage.complete(&complete(&key, owner, "1")).await.unwrap_err().kind(),
        storage.release(&release(&key, owner)).await.unwrap_err().kind(),
        storage.load(&key).await.unwrap_err().kind(),
    ];
    assert_eq!(kinds, [kind; 5]);
    assert_eq!(shared().command(&["GET", &name]), value);
    assert!(shared().command(&["PTTL", &name]).parse::<i64>().unwrap() > 590_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_record_is_refused_and_left_alone() {
    every_verb_refuses("", StorageErrorKind::Corrupt).await;
    every_verb_refuses("{\"status\":\"done\"}", StorageErrorKind::Corrupt).await;
    every_verb_refuses("\u{1}0123456789abcdefP", StorageErrorKind::Corrupt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_a_newer_version_is_refused_and_left_alone() {
    every_verb_refuses("\u{2}whatever it may say", StorageErrorKind::NewerVersion).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_type_under_the_records_key_is_refused_and_left_alone() {
    let storage = connect(shared().url()).await;
    let (key, owner) = (fresh_key(), OwnerId::random());
    let name = redis_key(&key);
    shared().command(&["RPUSH", &name, "a", "b"]);
    let errors = [
        storage.claim(&claim(&key, owner)).await.unwrap_err(),
        storage.renew(&[renew(&key, owner)]).await.remove(0).unwrap_err(),
        storage.complete(&complete(&key, owner, "1")).await.unwrap_err(),
        storage.release(&release(&key, owner)).await.unwrap_err(),
        storage.load(&key).await.unwrap_err(),
    ];
    for error in errors {
        assert_eq!(error.kind(), StorageErrorKind::Corrupt, "{error}");
    }
    assert_eq!(shared().command(&["LRANGE", &name, "0", "-1"]), "a\nb");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scan_lists_an_unreadable_record_as_its_error() {
    let server = testkit::redis::RedisServer::start();
    let storage = connect(&server.url()).await;
    let (good, bad) = (fresh_key(), fresh_key());
    storage.claim(&claim(&good, OwnerId::random())).await.unwrap();
    server.command(&["SET", &redis_key(&bad), "garbage"]);
    let page = storage.scan(None, 100).await.unwrap();
    assert_eq!(page.records.len(), 2);
    for (key, record) in page.records {
        match record {
            Ok(_) => assert_eq!(key, good),
            Err(error) => {
                assert_eq!(key, bad);
                assert_eq!(error.kind(), StorageErrorKind::Corrupt);
            }
        }
    }
}
