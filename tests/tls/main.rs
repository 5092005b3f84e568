//! The Redis storage over TLS, on real servers.
//!
//! A binary of its own: rustls' crypto provider is installed for a whole process, and another test is about a process without one.
#![allow(
    clippy::unwrap_used,
    reason = "a panic is how a test fails, in the functions that tests share as well"
)]

mod refused;
mod setups;

use std::time::Duration;

use idem_runtime::codec::CodecTag;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, Finish, OwnerId, Payload};
use idem_runtime::storage::redis::RedisBuilder;
use idem_runtime::storage::{Claim, Claimed, Complete, RedisStorage, Storage, Written};
use idem_runtime::{Fingerprint, Key};
use testkit::tls::Authority;

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

/// As an application does at its start.
fn install_provider() {
    // The other tests of this process install the same one.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

async fn connect(builder: RedisBuilder, authority: &Authority) -> RedisStorage {
    install_provider();
    builder.tls_ca(authority.certificate()).connect().await.unwrap()
}

fn claim(key: &str) -> Claim {
    Claim {
        key: RecordKey::new("tls", None, &Key::new(key).unwrap()).unwrap(),
        owner: OwnerId::random(),
        fingerprint: Fingerprint::of("charge", "42 EUR").unwrap(),
        lease: LONG,
        ttl: LONG,
        on_crash: CrashPolicy::Retry,
    }
}

fn complete(claim: &Claim) -> Complete {
    let bytes = "\"receipt\"".to_owned().into();
    let finish = Finish::Completed(Payload { codec: CodecTag::new("json").unwrap(), bytes });
    Complete { key: claim.key.clone(), owner: claim.owner, finish, ttl: LONG }
}

/// What a storage is for: one owner, a waiter who is woken, a replay.
async fn assert_works(storage: &RedisStorage, key: &str) {
    let first = claim(key);
    assert!(matches!(storage.claim(&first).await.unwrap(), Claimed::Acquired { .. }));
    let duplicate = claim(key);
    assert!(matches!(storage.claim(&duplicate).await.unwrap(), Claimed::InProgress { .. }));
    let mut wakeup = storage.watch(&first.key).await.unwrap().unwrap();
    assert_eq!(storage.complete(&complete(&first)).await.unwrap(), Written::Done);
    tokio::time::timeout(Duration::from_secs(20), wakeup.changed()).await.unwrap();
    assert!(matches!(storage.claim(&duplicate).await.unwrap(), Claimed::Replay(_)));
}
