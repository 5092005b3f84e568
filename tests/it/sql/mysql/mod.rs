//! The MySQL storage against a real server.

mod configuration;
mod conformance;
mod releases;
mod values;

use crate::stage;
use idem_runtime::codec::CodecTag;
use idem_runtime::record::{Finish, Payload};
use idem_runtime::storage::{Claim, Claimed, Complete, MySqlStorage, Storage, Written};
use testkit::sql::{Product, shared};

/// The address of a new database, with the tables.
async fn migrated() -> String {
    let url = shared(Product::MySql).new_database();
    stage::mysql(&url).await.migrate().await.unwrap();
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
