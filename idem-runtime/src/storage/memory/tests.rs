//! What memory promises beyond the contract that the conformance suite tests.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{MemoryStorage, SHARDS};
use crate::clock::{Clock, ManualClock};
use crate::fingerprint::Fingerprinter;
use crate::key::RecordKey;
use crate::record::{CrashPolicy, OwnerId};
use crate::storage::{
    Claim, Claimed, Cursor, Release, Storage, StorageError, StorageErrorKind, Written,
};

const LEASE: Duration = Duration::from_secs(30);

fn claim(number: usize) -> Claim {
    Claim {
        key: RecordKey::from_stored(format!("key {number}")),
        owner: OwnerId::random(),
        fingerprint: Fingerprinter::new("charge").finish(),
        lease: LEASE,
        ttl: LEASE,
        on_crash: CrashPolicy::Retry,
    }
}

fn limited(clock: &ManualClock, records: usize) -> MemoryStorage {
    MemoryStorage::build(clock.clone(), records)
}

async fn fill(storage: &MemoryStorage, numbers: std::ops::Range<usize>) {
    for number in numbers {
        let answer = storage.claim(&claim(number)).await.unwrap();
        assert!(matches!(answer, Claimed::Acquired { .. }));
    }
}

fn kind<T>(answer: Result<T, StorageError>) -> Option<StorageErrorKind> {
    answer.err().map(|error| error.kind())
}

#[tokio::test]
async fn new_key_is_refused_at_capacity_and_the_live_ones_stay() {
    let storage = MemoryStorage::with_capacity(100);
    fill(&storage, 0..100).await;
    let refused = storage.claim(&claim(100)).await;
    assert_eq!(kind(refused), Some(StorageErrorKind::Full));
    assert_eq!(storage.len(), 100);
    for number in 0..100 {
        let answer = storage.claim(&claim(number)).await.unwrap();
        assert!(matches!(answer, Claimed::InProgress { .. }), "key {number}: {answer:?}");
    }
}

#[tokio::test]
async fn owners_go_on_at_capacity() {
    let storage = MemoryStorage::with_capacity(1);
    let first = claim(0);
    storage.claim(&first).await.unwrap();
    let release = Release { key: first.key.clone(), owner: first.owner };
    assert_eq!(storage.release(&release).await.unwrap(), Written::Done);
    // The record of a released key is kept, for its fence.
    let other = storage.claim(&claim(1)).await.unwrap_err();
    assert_eq!(other.kind(), StorageErrorKind::Full);
    let next = Claim { owner: OwnerId::random(), ..first };
    assert!(matches!(storage.claim(&next).await.unwrap(), Claimed::Acquired { .. }));
}

/// Wherever the expired record is: a claim does not find room in its own shard alone.
#[tokio::test]
async fn expired_records_make_room_at_capacity() {
    let clock = ManualClock::new();
    let storage = limited(&clock, 1);
    for number in 0..SHARDS * 4 {
        fill(&storage, number..number + 1).await;
        clock.advance(LEASE * 2);
    }
    assert_eq!(storage.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn capacity_holds_under_concurrency() {
    let storage = MemoryStorage::with_capacity(50);
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..500 {
        let storage = storage.clone();
        tasks.spawn(async move { storage.claim(&claim(number)).await.is_ok() });
    }
    let admitted = tasks.join_all().await.into_iter().filter(|admitted| *admitted).count();
    assert_eq!(admitted, 50);
    assert_eq!(storage.len(), 50);
}

#[tokio::test]
async fn expired_records_do_not_pile_up() {
    let clock = ManualClock::new();
    let storage = MemoryStorage::with_clock(clock.clone());
    for number in 0..100_000 {
        storage.claim(&claim(number)).await.unwrap();
        clock.advance(Duration::from_millis(60));
    }
    // 1,000 are live at any time.
    assert!(storage.len() < 10_000, "{}", storage.len());
}

#[tokio::test]
async fn purge_removes_exactly_what_has_expired() {
    let clock = ManualClock::new();
    let storage = MemoryStorage::with_clock(clock.clone());
    fill(&storage, 0..500).await;
    clock.advance(LEASE);
    fill(&storage, 500..700).await;
    assert_eq!(storage.purge(usize::MAX).await.unwrap(), 0);
    clock.advance(LEASE);
    assert_eq!(storage.purge(0).await.unwrap(), 0);
    assert_eq!(storage.purge(120).await.unwrap(), 120);
    assert_eq!(storage.len(), 580);
    assert_eq!(storage.purge(usize::MAX).await.unwrap(), 380);
    assert_eq!(storage.len(), 200);
    clock.advance(LEASE);
    assert_eq!(storage.purge(usize::MAX).await.unwrap(), 200);
    assert!(storage.is_empty());
}

#[tokio::test]
async fn purge_finds_a_record_whose_expiry_moved_forward() {
    let clock = ManualClock::new();
    let storage = MemoryStorage::with_clock(clock.clone());
    let claim = Claim { ttl: Duration::MAX, ..claim(0) };
    storage.claim(&claim).await.unwrap();
    let finish = crate::record::Finish::Failed(crate::record::Failure::TooLarge { size: 1 });
    let (key, owner) = (claim.key, claim.owner);
    let complete = crate::storage::Complete { key, owner, finish, ttl: LEASE };
    assert_eq!(storage.complete(&complete).await.unwrap(), Written::Done);
    clock.advance(LEASE);
    assert_eq!(storage.purge(1).await.unwrap(), 1);
}

#[tokio::test]
async fn clones_share_records() {
    let storage = MemoryStorage::new();
    fill(&storage.clone(), 0..1).await;
    assert_eq!(storage.len(), 1);
}

#[tokio::test]
async fn cursor_of_another_storage_is_an_error_or_the_end() {
    let storage = MemoryStorage::new();
    fill(&storage, 0..100).await;
    let foreign = Cursor("no number".into());
    assert_eq!(kind(storage.scan(Some(&foreign), 1).await), Some(StorageErrorKind::Configuration));
    let beyond = Cursor(usize::MAX.to_string());
    let page = storage.scan(Some(&beyond), 1).await.unwrap();
    assert!(page.records.is_empty() && page.next.is_none());
}

#[tokio::test]
async fn pages_are_disjoint_and_cover_everything() {
    let storage = MemoryStorage::new();
    fill(&storage, 0..1_000).await;
    let (mut keys, mut listed, mut after) = (BTreeSet::new(), 0, None);
    loop {
        let page = storage.scan(after.as_ref(), 50).await.unwrap();
        listed += page.records.len();
        keys.extend(page.records.into_iter().map(|(key, _)| key));
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    assert_eq!((keys.len(), listed), (1_000, 1_000));
}

#[tokio::test]
async fn debug_shows_neither_keys_nor_payloads() {
    let storage = MemoryStorage::new();
    fill(&storage, 0..1).await;
    assert_eq!(format!("{storage:?}"), "MemoryStorage { len: 1, .. }");
}

#[test]
fn manual_clock_moves_only_when_told() {
    let clock = ManualClock::new();
    let start = clock.now();
    assert_eq!(clock.now(), start);
    clock.advance(Duration::from_nanos(1));
    assert_eq!(clock.now(), start.after(Duration::from_millis(1)));
    clock.advance(Duration::MAX);
    clock.advance(Duration::MAX);
    assert_eq!(clock.now().as_millis(), u64::MAX);
}
