//! The SQL storages against real databases.

mod given_up;
mod guarantees;
mod mysql;
mod own;
mod postgres;
mod purging;
mod sqlite;
mod unfit;

use std::time::Duration;

use idem_runtime::codec::CodecTag;
use idem_runtime::record::{CrashPolicy, Finish, OwnerId, Payload};
use idem_runtime::storage::{Claim, Claimed, Complete, Storage, Written};
use idem_runtime::{Fingerprint, Key, RecordKey};
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

/// Claims and completes on connections that others have just left inside a transaction, and looks from elsewhere for what became of it.
async fn run_where_others_left_one_open(
    storage: &impl Storage,
    elsewhere: &impl Storage,
    leave_one_open: impl AsyncFn(),
) {
    for _ in 0..5 {
        let claim = claim(&fresh_key());
        leave_one_open().await;
        let answer = storage.claim(&claim).await.unwrap();
        assert!(matches!(answer, Claimed::Acquired { .. }), "{answer:?}");
        assert!(elsewhere.load(&claim.key).await.unwrap().is_some(), "the claim is nowhere");
        leave_one_open().await;
        assert_eq!(storage.complete(&complete(&claim, "1")).await.unwrap(), Written::Done);
        let rival = Claim { owner: OwnerId::random(), ..claim };
        let replay = elsewhere.claim(&rival).await.unwrap();
        assert!(matches!(replay, Claimed::Replay(_)), "{replay:?}");
    }
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
