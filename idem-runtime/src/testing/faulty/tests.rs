//! Each fault has its effect, on its own verb only.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Fault, FaultyStorage, Verb};
use crate::fingerprint::Fingerprinter;
use crate::key::RecordKey;
use crate::record::{CrashPolicy, OwnerId};
use crate::storage::{Claim, MemoryStorage, Renew, Storage, StorageErrorKind, Written};

const LONG: Duration = Duration::from_secs(600);

fn claim() -> Claim {
    Claim {
        key: RecordKey::from_stored("key"),
        owner: OwnerId::random(),
        fingerprint: Fingerprinter::new("charge").finish(),
        lease: LONG,
        ttl: LONG,
        on_crash: CrashPolicy::Retry,
    }
}

fn storage() -> FaultyStorage<MemoryStorage> {
    FaultyStorage::new(MemoryStorage::new())
}

/// Makes a claim that fails; returns the kind of its error, and whether it was applied.
async fn fails(fault: Fault) -> (StorageErrorKind, bool) {
    let storage = storage();
    storage.faults().next(Verb::Claim, fault);
    let kind = storage.claim(&claim()).await.unwrap_err().kind();
    (kind, !storage.inner().is_empty())
}

#[tokio::test]
async fn faults_before_and_after_the_call() {
    assert_eq!(fails(Fault::Refuse).await, (StorageErrorKind::NotApplied, false));
    assert_eq!(fails(Fault::LoseRequest).await, (StorageErrorKind::Indeterminate, false));
    assert_eq!(fails(Fault::LoseReply).await, (StorageErrorKind::Indeterminate, true));
    let full = Fault::Fail(StorageErrorKind::Full);
    assert_eq!(fails(full).await, (StorageErrorKind::Full, false));
}

#[tokio::test(start_paused = true)]
async fn hanging_calls_never_answer() {
    for (fault, applied) in [(Fault::Hang, false), (Fault::HangAfter, true)] {
        let storage = storage();
        storage.faults().next(Verb::Claim, fault);
        assert!(timeout(LONG, storage.claim(&claim())).await.is_err());
        assert_eq!(!storage.inner().is_empty(), applied);
    }
}

#[tokio::test(start_paused = true)]
async fn delayed_call_is_made_after_the_delay() {
    let storage = storage();
    storage.faults().next(Verb::Claim, Fault::Delay(LONG));
    let start = Instant::now();
    storage.claim(&claim()).await.unwrap();
    assert_eq!(start.elapsed(), LONG);
}

#[tokio::test(start_paused = true)]
async fn delayed_reply_comes_after_the_call_is_made() {
    let storage = storage();
    storage.faults().next(Verb::Claim, Fault::DelayReply(LONG));
    let claim = claim();
    let mut call = std::pin::pin!(storage.claim(&claim));
    assert!(timeout(LONG / 2, &mut call).await.is_err());
    assert!(!storage.inner().is_empty());
    call.await.unwrap();
}

#[tokio::test]
async fn scripted_faults_come_in_order_before_standing_ones() {
    let storage = storage();
    let faults = storage.faults();
    faults.always(Verb::Purge, Fault::Fail(StorageErrorKind::Corrupt));
    faults.next(Verb::Purge, Fault::Refuse);
    faults.next(Verb::Purge, Fault::LoseReply);
    faults.any_next(Fault::Fail(StorageErrorKind::Full));
    let mut kinds = Vec::new();
    for _ in 0..5 {
        kinds.push(storage.purge(1).await.unwrap_err().kind());
    }
    let expected = [
        StorageErrorKind::NotApplied,
        StorageErrorKind::Indeterminate,
        StorageErrorKind::Full,
        StorageErrorKind::Corrupt,
        StorageErrorKind::Corrupt,
    ];
    assert_eq!(kinds, expected);
    faults.clear();
    assert!(storage.purge(1).await.is_ok());
}

#[tokio::test]
async fn fault_hits_its_own_verb_and_calls_are_counted() {
    let storage = storage();
    storage.faults().always(Verb::Renew, Fault::Refuse);
    let claim = claim();
    storage.claim(&claim).await.unwrap();
    storage.claim(&claim).await.unwrap();
    let renew = || Renew { key: claim.key.clone(), owner: claim.owner };
    let answers = storage.renew(&[renew(), renew()]).await;
    assert_eq!(answers.len(), 2);
    assert!(answers.iter().all(Result::is_err));
    storage.faults().clear();
    assert_eq!(storage.renew(&[renew()]).await[0].as_ref().unwrap(), &Written::Done);
    let calls = Verb::ALL.map(|verb| storage.faults().calls(verb));
    assert_eq!(calls, [2, 2, 0, 0, 0, 0, 0, 0]);
}

async fn drawn(seed: u64) -> Vec<Option<StorageErrorKind>> {
    let storage = storage();
    storage.faults().random(seed, 0.5);
    let mut kinds = Vec::new();
    for _ in 0..200 {
        kinds.push(storage.purge(1).await.err().map(|error| error.kind()));
    }
    kinds
}

#[tokio::test]
async fn random_faults_are_the_seeds() {
    let kinds = drawn(1).await;
    assert_eq!(kinds, drawn(1).await);
    assert_ne!(kinds, drawn(2).await);
    let failed = kinds.iter().filter(|kind| kind.is_some()).count();
    assert!((60..140).contains(&failed), "{failed} of 200");
}

#[tokio::test]
async fn random_faults_spare_the_verbs_that_are_not_among_them() {
    let storage = storage();
    storage.faults().random_among(1, 1.0, [(Verb::Purge, Fault::Refuse)]);
    storage.claim(&claim()).await.unwrap();
    assert!(storage.purge(1).await.is_err());
}
