//! The MySQL storage against a real server.

mod configuration;
mod conformance;
mod values;

use idem_runtime::RecordKey;
use idem_runtime::codec::CodecTag;
use idem_runtime::record::{Finish, Payload};
use idem_runtime::storage::{Claim, Claimed, Complete, MySqlStorage, Storage, Written};
use sqlx::MySqlPool;
use testkit::sql::{Product, shared};
use tokio::runtime::Runtime;

use super::differential;

/// The address of a new database, with the tables.
async fn migrated() -> String {
    let url = shared(Product::MySql).new_database();
    MySqlStorage::connect(&url).await.unwrap().migrate().await.unwrap();
    url
}

fn claim(text: &str) -> Claim {
    super::claim(&super::key(text))
}

fn result(bytes: Vec<u8>) -> Finish {
    Finish::Completed(Payload { codec: CodecTag::new("json").unwrap(), bytes: bytes.into() })
}

/// The completion of a claim.
fn complete(claim: &Claim, finish: Finish) -> Complete {
    Complete { key: claim.key.clone(), owner: claim.owner, finish, ttl: claim.ttl }
}

/// Claims and completes a key, and expects both to do so.
async fn run(storage: &MySqlStorage, text: &str, bytes: Vec<u8>) {
    let claim = claim(text);
    let claimed = storage.claim(&claim).await.unwrap();
    assert!(matches!(claimed, Claimed::Acquired { .. }), "{text:?}: {claimed:?}");
    let written = storage.complete(&complete(&claim, result(bytes))).await.unwrap();
    assert_eq!(written, Written::Done, "{text:?}");
}

/// What a duplicate is told.
async fn replay(storage: &MySqlStorage, text: &str) -> Finish {
    match storage.claim(&claim(text)).await.unwrap() {
        Claimed::Replay(finished) => finished.finish,
        other => panic!("{text:?}: {other:?}"),
    }
}

struct Compared(MySqlStorage, MySqlPool);

impl differential::Database for Compared {
    type Storage = MySqlStorage;

    fn storage(&self) -> &MySqlStorage {
        &self.0
    }

    async fn pass(&self, key: &RecordKey, millis: i64) {
        let earlier = "UPDATE idempotency_records SET lease_until = lease_until - ?, purge_after = purge_after - ?, \
                       expires_at = expires_at - ?, finished_at = finished_at - ? WHERE `key` = ?";
        let query = (0..4).fold(sqlx::query(earlier), |query, _| query.bind(millis));
        query.bind(key.as_str().as_bytes()).execute(&self.1).await.unwrap();
    }
}

#[test]
fn statements_answer_as_the_state_machine_does() {
    let runtime = Runtime::new().unwrap();
    let (storage, direct) = runtime.block_on(async {
        let url = migrated().await;
        (MySqlStorage::connect(&url).await.unwrap(), MySqlPool::connect(&url).await.unwrap())
    });
    differential::compare(&runtime, &Compared(storage, direct));
}
