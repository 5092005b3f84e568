//! The SQL storages against real databases.

mod app_pool;
mod given_up;
mod guarantees;
mod left_open;
mod mysql;
mod own;
mod own_connections;
mod postgres;
mod purging;
mod rights;
mod settings;
mod sqlite;
mod tables;
mod unfit;

use std::time::Duration;

use idem_runtime::codec::CodecTag;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, Finish, OwnerId, Payload};
use idem_runtime::storage::{Claim, Claimed, Complete, Storage, Written};
use idem_runtime::{Fingerprint, Key};
use tokio::task::JoinSet;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// A key that no other test has.
fn fresh_key() -> RecordKey {
    key(&format!("test-{}", OwnerId::random()))
}

fn key(text: &str) -> RecordKey {
    RecordKey::new("it", None, &Key::new(text).unwrap()).unwrap()
}

fn claim(key: &RecordKey) -> Claim {
    Claim {
        key: key.clone(),
        owner: OwnerId::random(),
        fingerprint: Fingerprint::of("charge", "42 EUR").unwrap(),
        lease: LONG,
        ttl: LONG,
        on_crash: CrashPolicy::Retry,
    }
}

fn complete(claim: &Claim, result: &str) -> Complete {
    let codec = CodecTag::new("json").unwrap();
    let finish = Finish::Completed(Payload { codec, bytes: result.to_owned().into() });
    Complete { key: claim.key.clone(), owner: claim.owner, finish, ttl: LONG }
}

/// Claims and completes a fresh key.
async fn run_once(storage: &impl Storage) -> Claim {
    let claim = claim(&fresh_key());
    let answer = storage.claim(&claim).await.unwrap();
    assert!(matches!(answer, Claimed::Acquired { .. }), "{answer:?}");
    assert_eq!(storage.complete(&complete(&claim, "1")).await.unwrap(), Written::Done);
    claim
}

/// Makes so many calls at once.
async fn at_once<S: Storage + Clone, T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    storage: &S,
    count: usize,
    call: impl Fn(S) -> F,
) -> Vec<T> {
    let mut calls = JoinSet::new();
    for _ in 0..count {
        calls.spawn(call(storage.clone()));
    }
    calls.join_all().await
}
