//! The Redis storage against real servers.

mod addresses;
mod cluster;
mod conformance;
mod connections;
mod faults;
mod layout;
mod rights;
mod sentinel;
mod verbs;
mod watch;

use std::time::Duration;

use idem_runtime::codec::CodecTag;
use idem_runtime::key::RecordKey;
use idem_runtime::record::{CrashPolicy, Finish, OwnerId, Payload};
use idem_runtime::storage::{Claim, Complete, RedisStorage, Release, Renew};
use idem_runtime::{Fingerprint, Key};

/// Longer than any test.
const LONG: Duration = Duration::from_secs(600);

async fn connect(url: &str) -> RedisStorage {
    RedisStorage::connect(url).await.unwrap()
}

/// A key that no other test has.
fn fresh_key() -> RecordKey {
    key(&format!("test-{}", OwnerId::random()))
}

fn key(text: &str) -> RecordKey {
    RecordKey::new("it", None, &Key::new(text).unwrap()).unwrap()
}

/// The name of a record's key in Redis.
fn redis_key(key: &RecordKey) -> String {
    format!("idem:{{}}{}", key.as_str())
}

fn claim(key: &RecordKey, owner: OwnerId) -> Claim {
    Claim {
        key: key.clone(),
        owner,
        fingerprint: Fingerprint::of("charge", "42 EUR").unwrap(),
        lease: LONG,
        ttl: LONG,
        on_crash: CrashPolicy::Retry,
    }
}

fn complete(key: &RecordKey, owner: OwnerId, result: &str) -> Complete {
    Complete { key: key.clone(), owner, finish: completed(result), ttl: LONG }
}

fn completed(result: &str) -> Finish {
    Finish::Completed(Payload {
        codec: CodecTag::new("json").unwrap(),
        bytes: result.to_owned().into(),
    })
}

fn renew(key: &RecordKey, owner: OwnerId) -> Renew {
    Renew { key: key.clone(), owner }
}

fn release(key: &RecordKey, owner: OwnerId) -> Release {
    Release { key: key.clone(), owner }
}
